package record

// Parts that the outside tests reach into.
var (
	Missing = missing
	Leaves  = leaves

	MayCross = mayCross
)
