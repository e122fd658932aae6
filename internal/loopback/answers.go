package loopback

import "net"

// Answers reports whether somebody listens on a port of this machine.
func Answers(port int) bool {
	conn, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
