package chaos

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var planted = flag.Bool("chaos.planted", false, "plant bugs into copies of the source, and demand that a test catches each")

// bug is a mistake that somebody could make, as edits of the source, and the test
// that must fail for it.
type bug struct {
	name  string
	edits []plant
	pkg   string
	run   string // -run of the test
}

type plant struct{ file, from, to string }

// bugs are those of the list in issue and robustness record.
var bugs = []bug{
	{"changes of a store that moves are not noted", []plant{{"dataplane/store/local/follow.go",
		"	if f.limit > 0 {\n		f.note(b)\n	}\n", ""}},
		"./dataplane/move", "TestINV33_AMoveThatIsCutShortGoesOn"},
	{"writers are not shut while the last changes move", []plant{{"dataplane/store/local/follow.go",
		"	if f.shut != nil {\n		return f.shut\n	}\n", ""}, {"dataplane/store/local/follow.go", "	defer f.gate.RUnlock()\n	return f.shut\n", "	defer f.gate.RUnlock()\n	return nil\n"}},
		"./dataplane/move", "TestINV33_NothingIsTakenInAfterTheSwitch"},
	{"a row that only the database has stays there", []plant{{"dataplane/move/pass.go",
		"	return w.delete(bytes.Clone(there.Key()))\n", "	return nil\n"}},
		"./dataplane/move", "TestAPassMendsAndAComparisonFinds"},
	{"a comparison of a move passes what differs", []plant{{"dataplane/move/pass.go",
		"		if p.compare {\n			return ErrForeign\n		}\n		if err := w.set", "		if err := w.set"},
		{"dataplane/move/sum.go", "if p.from.rows != p.to.rows || !bytes.Equal(a, b) {", "if p.from.rows != p.to.rows || !bytes.Equal(a, a) {"}},
		"./dataplane/move", "TestAPassMendsAndAComparisonFinds"},
	{"a destroyed key is handed over as one that lives", []plant{{"dataplane/local/handover.go",
		"	if isDestroyed(err) {\n		return nil, nil\n	}\n	if err != nil {\n		return nil, fmt.Errorf(\"key %d", "	if isDestroyed(err) {\n		return &key, nil\n	}\n	if err != nil {\n		return nil, fmt.Errorf(\"key %d"}},
		"./dataplane/keytable", "TestINV22_AKeyringIsHandedOverAndSurrendered"},
	{"a keyring that was surrendered keeps its last generation", []plant{{"dataplane/local/handover.go",
		"	for _, gen := range list { // the current one last", "	for _, gen := range list[:max(0, len(list)-1)] { // the current one last"},
		{"dataplane/local/handover.go", "	return out, k.removeTables()\n", "	return out, nil\n"}},
		"./dataplane/keytable", "TestINV22_AKeyringIsHandedOverAndSurrendered"},
	{"a node starts on an embedded store that has moved", []plant{{"dataplane/move_mark.go",
		"if m == nil || m.State == MoveBegun {\n			return nil", "if m == nil || m.State != \"\" {\n			return nil"}},
		"./dataplane", "TestINV33_NobodyStartsOnTheWrongSide"},
	{"a node over a database starts beside records that never moved", []plant{{"dataplane/move_mark.go",
		"	return errors.Join(err, errors.New(\"store.kind: data_dir holds", "	return nil\n	return errors.Join(err, errors.New(\"store.kind: data_dir holds"}},
		"./dataplane", "TestINV33_NobodyStartsOnTheWrongSide"},
	{"a tenant may have a whole lane", []plant{{"dataplane/admission/lane.go",
		"if s.used > 0 && s.used+r.ask.Weight > min(l.most, l.room*3/4) || !fits(r) {", "if !fits(r) {"},
		{"dataplane/admission/lane.go", "if best == nil || s.used < used || s.used == used && t < tag {", "if best == nil || s.used > used || s.used == used && t < tag {"}},
		"./dataplane/admission", "TestINV41_OneTenantAtTwentyTimesLeavesTheOthers"},
	{"a queue that stands takes more", []plant{{"dataplane/admission/machine.go",
		"e.ask.Lane != Erase && stands {", "e.ask.Lane != Erase && stands && after < 0 {"}},
		"./dataplane/admission", "TestINV41_GoodputHoldsUnderOverload"},
	{"an erasure counts against quotas", []plant{{"dataplane/admission/machine.go",
		"	if ask.Lane == Erase {\n", "	if ask.Lane == numLanes {\n"}},
		"./dataplane/server", "TestINV41_WhatDestroysIsAdmittedWhenNothingElseIs"},
	{"a slow client keeps its turn", []plant{{"dataplane/admission/place.go",
		"		if !over {\n", "		if over {\n"}},
		"./dataplane/server", "TestINV41_ASlowClientHoldsNoTurn"},
	{"the time of a body counts against its answer", []plant{{"dataplane/server/exchange.go",
		"if time.Since(x.since) > quickly {", "if time.Since(x.since) > writeTimeout {"}},
		"./dataplane/server", "TestTheTimeOfABodyDoesNotCountAgainstItsAnswer"},
	{"a refusal waits for the body", []plant{{"dataplane/server/refuse.go",
		"	_ = rc.EnableFullDuplex() // else net/http reads the body before it answers\n", ""}},
		"./dataplane/server", "TestINV41_ARefusalComesBeforeTheBody"},
	{"whoever shares an address with a guesser is locked out", []plant{{"dataplane/server/credentials.go",
		"if c.Key == \"\" || !errors.As(err, &e) || e.Reason != policy.Unauthenticated {", "if e = nil; c.Key == \"\" || errors.As(err, &e) && e.Reason != policy.Unauthenticated {"}},
		"./dataplane/server", "TestINV41_GuessesOfOneAddressAreLimitedAndNobodyIsLockedOut"},
	{"guesses at one key are not counted", []plant{{"dataplane/server/credentials.go",
		"if key != \"\" && !t.keys.Allow(string(key)) && by == \"\" {", "if key == \"\" && !t.keys.Allow(string(key)) && by == \"\" {"}},
		"./dataplane/server", "TestINV41_GuessesAtOneKeyAreLimited"},
	{"the small body of a guess is read", []plant{{"dataplane/server/refuse.go",
		"e.Reason == policy.Overloaded && x.who.Tenant != \"\" && ", "e.Reason == policy.Overloaded && "}},
		"./dataplane/server", "TestINV08_TheBodyOfAGuessIsNotRead"},
	{"a lost answer of S3 is another's blob", []plant{{"dataplane/aws/create.go",
		"if echo, err = b.outcome(ctx, c, err); err != nil {", "if err = b.explain(err); err != nil {"}},
		"./dataplane/aws", "TestBlobOfALostAnswer"},
	{"a bracket behind a bundle's row is passed over", []plant{{"api/bundle/bundle.go",
		"if _, err := d.Token(); !errors.Is(err, io.EOF) {", "if _ = io.EOF; d.More() || errors.Is(nil, io.EOF) {"}},
		"./api/bundle", "TestDecodeIsStrict"},
	{"an answer of a clock that was set back is never forgotten", []plant{{"controlplane/store/answers.go",
		"if ownKey != nil && bytes.Compare(ownKey, k) < 0 {", "if ownKey != nil && a == nil {"}},
		"./controlplane/store", "TestAnswersOfASetBackClockAreForgotten"},
	{"a table that another node is making is given up for", []plant{{"dataplane/shelf/sql/db.go",
		"\"42P07\", \"42710\", ", "\"42P07\", "}},
		"./dataplane/shelf/sql", "TestATypeWithoutItsTableIsTriedAgain"},
	{"read without VerifyLeader", []plant{{"controlplane/server/forward.go",
		"return s.replica.VerifyLeader(ctx)\n", "return nil\n"}},
		"./test/chaos", "TestINV30_AResumedLeaderServesNothingStale"},
	{"no barrier on leadership", []plant{{"controlplane/replica/leader.go",
		"if err := await(r.stopping, r.raft.Barrier(enqueueTimeout)); err != nil {", "if err := r.stopping.Err(); err != nil {"}},
		"./controlplane/replica", "TestINV30_WhoeverLeadsHasAppliedWhatWasAcknowledged"},
	{"clock in Apply", []plant{{"controlplane/store/apply_tenant.go", "import (\n", "import (\n\t\"time\"\n\n"},
		{"controlplane/store/apply_tenant.go", "CreatedAt: e.stamp.Now,", "CreatedAt: time.Now(),"}},
		"./controlplane/store", "TestINV32_SameLogSameState"},
	{"unknown command ignored", []plant{{"controlplane/store/codec.go",
		"if kind&Ignorable != 0 {", "if kind != 0 {"}},
		"./controlplane/store", "TestUnreadableCommandStops"},
	{"applied index outside the transaction", []plant{{"controlplane/store/store.go",
		"	if err := e.put(bucketMeta, metaApplied, c.applied); err != nil {\n		return err\n	}\n", ""},
		{"controlplane/store/gather.go", "	defer s.watch.Watch(\"the state: commit\")()\n	if err := tx.Commit(); err != nil {\n",
			"	err := tx.Commit()\n	if err == nil {\n		err = s.db.Update(func(tx *bolt.Tx) error {\n		e := entry{tx: tx}\n		if err := e.put(bucketMeta, metaApplied, s.current.Load().applied); err != nil {\n			return err\n		}\n		return e.commit()\n	})\n	}\n	if err != nil {\n"}},
		"./controlplane/store", "TestINV27_ACommitCutShortLeavesNeitherChangeNorLeaf"},
	{"audit written after the response", []plant{{"controlplane/store/entry.go",
		"		err = e.record(c)\n", "		err = nil\n"},
		{"controlplane/store/gather.go", "	s.current.Store(next)\n	return nil\n",
			"	s.current.Store(next)\n	if err := s.commit(); err != nil {\n		return err\n	}\n	return s.db.Update(func(tx *bolt.Tx) error {\n		for i, en := range entries {\n			c, err := Decode(en.Data)\n			e := entry{tx: tx, stamp: c.Stamp, command: en.Data, before: results[i].Revision - 1}\n			if err != nil || results[i].Err != nil || tx.Bucket(bucketLeaves).Get(numberKey(e.before)) != nil {\n				continue\n			}\n			if err := errors.Join(e.record(c), e.commit()); err != nil {\n				return err\n			}\n		}\n		return nil\n	})\n"}},
		"./controlplane/store", "TestINV27_ACommitCutShortLeavesNeitherChangeNorLeaf"},
	{"a snapshot leaves out what is gathered", []plant{{"controlplane/store/snapshot.go",
		"	if err := s.commit(); err != nil {\n		return nil, err\n	}\n	tx, err := s.db.Begin(false)", "	tx, err := s.db.Begin(false)"},
		{"controlplane/store/snapshot.go", "applied := s.current.Load().applied; at != applied {", "applied := s.current.Load().applied; at.Index > applied.Index {"}},
		"./controlplane/store", "TestASnapshotHoldsWhatIsGathered"},
	{"a read passes by what is gathered", []plant{{"controlplane/store/gather.go",
		"	if s.gathered.tx == nil {\n		return false, nil", "	if s.gathered.tx != nil {\n		return false, nil"}},
		"./controlplane/store", "TestINV30_ReadsHoldWhatIsGathered"},
	{"a list passes by what is gathered", []plant{{"controlplane/store/gather.go",
		"	if s.settle() != nil {\n		return s.usable()", "	if s.usable() != nil {\n		return s.usable()"}},
		"./controlplane/store", "TestINV30_ReadsHoldWhatIsGathered"},
	{"nobody marks how far the state was shown", []plant{{"controlplane/store/gather.go",
		"s.mark.set(next.applied.Index)", "s.mark.set(0)"}},
		"./controlplane/store", "TestINV34_AKilledStateSaysHowFarItWasShown"},
	{"a killed voter answers with what its file holds", []plant{{"controlplane/replica/replica.go",
		"		if err := replay(r.disk, r.o.Store); err != nil {\n			return err\n		}\n", ""}},
		"./controlplane/replica", "TestINV30_AKilledVoterStartsWithWhatItHadShown"},
	{"a state that was shown beyond the end of its log is taken", []plant{{"controlplane/replica/replica.go",
		"applied := max(inFile, r.o.Store.Shown())", "applied := inFile"},
		{"controlplane/replica/replica.go", "		if err := replay(r.disk, r.o.Store); err != nil {\n			return err\n		}\n", ""}},
		"./controlplane/replica", "TestAMarkBeyondTheLogIsRefused"},
	{"restore goes on after an error", []plant{{"controlplane/store/snapshot.go",
		"		return s.breakDown(fmt.Errorf(\"restore: %w\", err))\n	}\n	s.mu.Lock()", "		return fmt.Errorf(\"restore: %w\", err)\n	}\n	s.mu.Lock()"}},
		"./controlplane/store", "TestINV34_BadSnapshotStopsTheNode"},
	{"idempotency table missing from the snapshot", []plant{{"controlplane/store/snapshot.go",
		"	s.db = db\n", "	s.db = db\n	if err := db.Update(func(tx *bolt.Tx) error {\n		err := tx.DeleteBucket(bucketExpiry)\n		_, err2 := tx.CreateBucket(bucketExpiry)\n		return errors.Join(err, err2)\n	}); err != nil {\n		return err\n	}\n"}},
		"./controlplane/store", "TestINV31_SnapshotCarriesTheIdempotencyTable"},
	{"a tenant is judged by what it was", []plant{{"controlplane/store/recent.go",
		"		delete(r.of, policy.TenantID(w.key))\n", ""}},
		"./controlplane/store", "TestWhatIsRememberedDecidesNothingElse"},
	{"a removed idempotency record stays in the index", []plant{{"controlplane/store/answers.go",
		"		e.index.drop([16]byte(key[8:]))\n", ""}},
		"./controlplane/store", "TestIdempotencyIsBounded"},
	{"the leader's copy counts before it is durable", []plant{{"controlplane/replica/fsm.go",
		"if last := logs[len(logs)-1].Index; f.r.disk != nil {", "if last := logs[len(logs)-1].Index; last == 0 {"}},
		"./controlplane/replica", "TestINV30_NothingCountsBeforeTheLeadersOwnDisk"},
	{"others hear of commits that the leader may lose", []plant{{"controlplane/replica/ahead.go",
		"args.LeaderCommitIndex = min(args.LeaderCommitIndex, durable())", "_ = durable"}},
		"./controlplane/replica", "TestINV30_NothingCountsBeforeTheLeadersOwnDisk"},
	{"a leader steps down before its log is durable", []plant{{"controlplane/replica/votes.go",
		"	if v.before != nil {", "	if v.before == nil {"}},
		"./controlplane/replica", "TestINV30_ALeaderSyncsBeforeItStepsDown"},
	{"what is not kept is done again", []plant{{"controlplane/store/idempotency.go",
		"	if r.Body == nil && past.bucket != noAnswer {\n", "	if r.Body == nil && past.bucket != noAnswer {\n		return Result{}, false, nil\n"}},
		"./controlplane/store", "TestINV31_WhatIsNotKeptHasNoSecondEffect"},
	{"an answer is taken from a row that has changed", []plant{{"controlplane/store/idempotency.go",
		"err != nil || etag != etagOf(p.revision) {", `err != nil || etag == "" {`}},
		"./controlplane/store", "TestINV31_WhatIsNotKeptHasNoSecondEffect"},
	{"answers are not counted when their record expires", []plant{{"controlplane/store/answers.go",
		"		a.records--\n		a.bytes -= uint64(len(p.answer))\n		a.bare", "		a.records--\n		a.bytes -= min(1, uint64(len(p.answer)))\n		a.bare"}},
		"./controlplane/store", "TestIdempotencyIsBounded"},
	{"a block's hash is kept in another's place", []plant{{"audit/sparse.go",
		"return first + blockLevel, hashes[blockLevel:], nil", "return first, hashes[blockLevel:], nil"}},
		"./audit", "TestASparseLogIsTheSameLog"},
	{"a restore brings an ended tenant back", []plant{{"controlplane/replay.go",
		"	case endsTenant(leaf.Action):\n", "	case endsTenant(leaf.Action) && false:\n"}},
		"./controlplane", "TestINV22_ARestoreBringsNoEndedTenantBack"},
	{"a region takes an ended tenant back from a restore", []plant{{"dataplane/feed/guard.go",
		"	case s.Ends():\n		return 2\n", "	case s.Ends():\n		return 0\n"}},
		"./dataplane/feed", "TestINV22_ARestoreBringsNoEndedTenantBack"},
	{"the log is held for nobody", []plant{{"controlplane/replica/hold.go",
		"	to--\n	h.mu.Lock()", "	clear(h.of)\n	h.mu.Lock()"}},
		"./controlplane/replica", "TestAVoterThatInstallsASnapshotCatchesUpUnderLoad"},
	{"a snapshot's values are not checked on their way", []plant{{"controlplane/store/dump.go",
		"	if _, err := unseal(bucket, key, value); err != nil {\n		return err\n	}\n	b := l.tx", "	b := l.tx"}},
		"./controlplane/store", "TestINV34_ADamagedDumpIsNotLoaded"},
	{"floor not persisted", []plant{{"dataplane/feed/keep.go",
		"Floor: max(f.replica.floor, st.Revision),", "Floor: f.kept.Floor,"}},
		"./dataplane/feed", "TestINV35_FloorHoldsWhenTheCacheIsTamperedWith"},
	{"Raft port accepts any certificate of the authority", []plant{{"controlplane/replica/transport.go",
		"voters := mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane}}", "voters := mtls.Peer{Roles: []mtls.Role{mtls.ControlPlane, mtls.DataPlane, mtls.Gateway}}"}},
		"./controlplane/replica", "TestINV06_RaftPortRefusesOthers"},
	{"tenant check only in REST", []plant{{"controlplane/server/core.go",
		"!callOf(ctx).sees(t.ID, t.Home)", "len(metadata.ValueFromIncomingContext(ctx, \"x-forwarded-host\")) > 0 && !callOf(ctx).sees(t.ID, t.Home)"}},
		"./test/chaos", "TestINV10_TheTenantCheckIsNotOnlyInREST"},
	{"default header matcher", []plant{{"controlplane/server/gateway.go",
		"return strings.ToLower(h), h != \"Authorization\" && slices.Contains(passed, h)", "_ = slices.Contains[[]string]\n			return runtime.DefaultHeaderMatcher(h)"},
		{"controlplane/server/gateway.go", "	r.Header = kept\n", "	_ = kept\n"}},
		"./controlplane", "TestHeaderSmuggling"},
	{"a repeat that meets its own effect is refused", []plant{{"controlplane/server/core.go",
		"	if err != nil {\n		// An earlier sending", "	if err != nil && stamp.IdempotencyKey == \"\" {\n		// An earlier sending"},
		{"controlplane/server/core.go", "		return store.Result{}, err\n	}\n	res, err := c.replica.Propose(", "		return store.Result{}, err\n	}\n	if err != nil {\n		return store.Result{}, err\n	}\n	res, err := c.replica.Propose("}},
		"./test/chaos", "TestINV31_SendingsAtOnceHaveOneEffectAndOneAnswer"},
	{"a deposed leader refuses by what was", []plant{{"controlplane/server/core.go",
		"		if err := c.replica.VerifyLeader(ctx); err != nil {\n			return store.Result{}, err\n		}\n		payload, err = plan()\n", ""}},
		"./test/chaos", "TestINV30_AResumedLeaderRefusesNothingByWhatWas"},
	{"a damaged log entry is sent on", []plant{{"controlplane/journal/record.go",
		"crc32.Checksum(b[4:end], castagnoli) == h.sum", "crc32.Checksum(b[4:end], castagnoli) >= 0"}, {"controlplane/replica/sum.go",
		"if crc32.Checksum(command, castagnoli) != sum {", "if crc32.Checksum(command, castagnoli) != sum && len(command) == 0 {"}},
		"./test/chaos", "TestINV34_ADamagedLogEntryIsNotPassedOn"},
	{"a newer term comes while the old leader's loop stores", []plant{{"controlplane/replica/ahead.go",
		"if l.Term != a.term {", "if l.Term > a.term {"}},
		"./controlplane/replica", "TestINV30_NothingIsAheadOfAPassedTerm"},
	{"a sync that failed is forgotten by the next one", []plant{{"controlplane/journal/durable.go",
		"if err := j.why(); err != nil {", "if err := j.why(); err != nil && want == 0 {"}},
		"./controlplane/journal", "TestINV33_AFailedSyncIsNeverForgotten"},
	{"a synced batch is taken for one that a crash cut short", []plant{{"controlplane/journal/scan.go",
		"if ok && h.batch > missing {", "if ok && h.batch > missing+1<<40 {"}, {"controlplane/journal/scan.go",
		"if missing <= j.mark.index {", "if missing+1<<40 <= j.mark.index {"}, {"controlplane/journal/scan.go",
		"last < j.mark.index {", "last+1<<40 < j.mark.index {"}},
		"./controlplane/journal", "TestINV34_WhatWasSyncedIsNotLostUnseen"},
	{"a batch takes any kind of command", []plant{{"controlplane/store/batch.go",
		"		case CreateTenant, PutPolicy, AddChange:\n", "		case CreateTenant, PutPolicy, AddChange, CreateToken:\n"}},
		"./controlplane/store", "TestINV12_ABatchHoldsOnlyWhatItSays"},
	{"the items of a batch share one revision", []plant{{"controlplane/store/batch.go",
		"next.revision = e.revision()", "defer func() { next.revision = e.revision() }()"}},
		"./controlplane/store", "TestINV27_ABatchIsManyChanges"},
	{"a state that a power cut tore is used", []plant{{"controlplane/store/unclean.go",
		"if now := bootID(); now != \"\" && string(raw) == now {", "if now := bootID(); now != \"\" && len(raw) > 0 {"}},
		"./controlplane/store", "TestINV34_HowAStateWasLeft"},
	{"snapshot of a node whose Raft log is another's", []plant{{"controlplane/replica/replica.go",
		"if applied > last {", "if applied > last+1<<40 {"}},
		"./controlplane/replica", "TestForeignRaftLogIsRefused"},
}

func allBugs() []bug {
	return slices.Concat(bugs, apiBugs, lifecycleBugs, nodeBugs, keysBugs, leaderlessBugs)
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	check(t, err)
	return filepath.Dir(strings.TrimSpace(string(mod)))
}

// A plant whose place has moved, or whose test has another name, catches nothing,
// and make planted-bugs takes too long to be run with every change.
func TestEveryPlantFitsTheSource(t *testing.T) {
	root := moduleRoot(t)
	for _, b := range allBugs() {
		t.Run(strings.ReplaceAll(b.name, " ", "_"), func(t *testing.T) {
			overlay(t, root, b.edits)
			files, err := filepath.Glob(filepath.Join(root, b.pkg, "*_test.go"))
			check(t, err)
			top, _, _ := strings.Cut(b.run, "/") // behind it stands one of its parts
			if !slices.ContainsFunc(files, func(path string) bool {
				text, err := os.ReadFile(path)
				return err == nil && strings.Contains(string(text), "func "+top)
			}) {
				t.Errorf("%s has no test %s", b.pkg, b.run)
			}
		})
	}
}

// TestPlantedBugs lays each bug over the source (go build's -overlay: the files
// themselves are not touched) and runs the test that must see it.
func TestPlantedBugs(t *testing.T) {
	if !*planted {
		t.Skip("run it by: make planted-bugs")
	}
	root := moduleRoot(t)
	for _, b := range allBugs() {
		t.Run(strings.ReplaceAll(b.name, " ", "_"), func(t *testing.T) {
			if out, err := goTest(t, root, b, nil); err != nil {
				t.Fatalf("the test fails without the bug: %v\n%s", err, out)
			}
			begin := time.Now()
			out, err := goTest(t, root, b, b.edits)
			caught := err != nil && strings.Contains(out, "--- FAIL: "+b.run) && !strings.Contains(out, "[build failed]")
			if !caught {
				t.Errorf("NOT CAUGHT by go test -run %s %s: %v\n%s", b.run, b.pkg, err, out)
				return
			}
			t.Logf("caught by go test -run %s %s in %.1f s", b.run, b.pkg, time.Since(begin).Seconds())
		})
	}
}

// goTest runs a bug's test over edited files.
func goTest(t *testing.T, root string, b bug, edits []plant) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// A test of processes may be the same program whether its processes have the bug or not.
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^"+b.run+"$", b.pkg)
	cmd.Dir, cmd.Env = root, os.Environ()
	if len(edits) > 0 {
		// In the environment, so that it reaches the builds of the programs under test too.
		cmd.Env = append(cmd.Env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay(t, root, edits)))
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func overlay(t *testing.T, root string, edits []plant) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for _, e := range edits {
		original := filepath.Join(root, e.file)
		from := original
		if edited, ok := replace[original]; ok {
			from = edited
		}
		text, err := os.ReadFile(from)
		check(t, err)
		if n := strings.Count(string(text), e.from); n != 1 {
			t.Fatalf("%s holds the place of the bug %d times, want once: adapt the plant %q", e.file, n, e.from)
		}
		to := filepath.Join(dir, strings.ReplaceAll(e.file, "/", "_"))
		check(t, os.WriteFile(to, []byte(strings.Replace(string(text), e.from, e.to, 1)), 0o600))
		replace[original] = to
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	check(t, err)
	path := filepath.Join(dir, "overlay.json")
	check(t, os.WriteFile(path, raw, 0o600))
	return path
}
