// Package failpoint names moments of a node's work at which a test may end it:
// before a write, between a write and its sync, between a sync and the
// acknowledgement, within recovery. Programs that are built without the tag
// failpoints have nothing of it: [At] is empty and [Slept] is zero.
//
// With the tag, the environment says what happens:
//
//	DOMICILE_FAILPOINT          NAME#N: the N-th time that the process comes to NAME
//	DOMICILE_FAILPOINT_DO       kill: the process ends as by kill -9 (default);
//	                            cut: its volume first loses its power
//	DOMICILE_FAILPOINT_VOLUME   mount point of the ext4 volume that cut stops
//	DOMICILE_FAILPOINT_WITNESS  file that gets the name before it happens: without it
//	                            a test would not know whether the moment ever came
//	DOMICILE_FAILPOINT_SLEPT    file with a duration: how long the machine is said to have
//	                            been suspended, read anew each time
//
// test/power lists the names, and fails when the source has others.
package failpoint
