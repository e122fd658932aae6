package chaos

import "flag"

var planted = flag.Bool("chaos.planted", false, "plant bugs in copies of the source and see them caught")
