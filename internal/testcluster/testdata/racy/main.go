// Racy has a data race, is ready at once, and ends when it is asked to.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	n, done := 0, make(chan struct{})
	go func() { n++; close(done) }()
	n++
	<-done
	fmt.Println("raced", n)
	<-stop
}
