// Package copied keeps a second, whole copy of a shelf in a place beside its
// database, for what a region cannot lose and no backup may hold: the key table,
// and the erasure ledger. The place is a bucket of the region (dataplane/aws).
//
//	<shelf>/base             all rows, as they were after change number n
//	<shelf>/change/<number>  what a later change put and deleted; or a stop
//
// A change is in the place before it commits: Update puts the object while it holds
// the shelf's lock, and commits then. So what Update has answered is in the copy;
// while the place is away nothing can be changed. A change that did not commit
// leaves an object that the next one replaces. Which object a number is replaced
// by, conditions of the place decide (If-None-Match, If-Match): whoever lost the
// lock meanwhile is refused, because the object has another tag by then.
//
// A base replaces the one before it, on the same condition, and the changes up to it
// are removed. From then on the copy holds nothing that was deleted before, but for
// what a request that was under way may still leave: after [Late] it is looked for
// once more ([Copy.Prune]).
//
// A copy that was put back goes on under another name, behind a stop: an object without
// rows that stays in the place of the change that came next. Nodes that still have the
// former database would write that one, and are refused. Numbers never begin again.
//
// Each object names cluster, region, shelf and copy, its number and the digest of the
// change before it, and ends with a MAC under a key that is in the key table. It is
// checked when the copy is read ([Read]); how far the copy must go at least, an
// anchor beside the records says.
package copied
