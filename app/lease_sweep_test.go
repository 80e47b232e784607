package app

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
)

// loseDatabase puts an empty one in the place of the world's.
func (lw *leaseWorld) loseDatabase() {
	lw.t.Helper()
	must(lw.t, lw.facts.Close())
	lw.database = "sqlite:" + lw.t.TempDir() + "/new.db"
	facts, err := store.Open(lw.t.Context(), lw.database, lw.clock.now)
	must(lw.t, err)
	lw.facts = facts
	lw.restart()
}

// sweep sweeps the installation, and returns what it found by name.
func (lw *leaseWorld) sweep(dry bool) (map[string]credential.Found, error) {
	lw.t.Helper()
	all, err := lw.issuer.Sweep(lw.t.Context(), lw.installation.ID(), policy.Actor{Login: "ann", ID: 1}, dry)
	found := map[string]credential.Found{}
	for _, f := range all {
		found[f.Slot.Name] = f
	}
	if len(found) != len(all) {
		lw.t.Errorf("%d secrets under %d names", len(all), len(found))
	}
	return found, err
}

func (lw *leaseWorld) lendInto(slot credential.Slot) credential.JITCredential {
	lw.t.Helper()
	request := lw.request()
	request.Slot = slot
	lent, err := lw.issuer.Issue(lw.t.Context(), request)
	must(lw.t, err)
	return lent
}

func names(secrets map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(secrets)), " ")
}

// swept are the secrets that the audit log says a sweep deleted.
func (lw *leaseWorld) swept() (subjects []string) {
	lw.t.Helper()
	entries, err := lw.facts.AuditEntries(lw.t.Context(), 0, 100)
	must(lw.t, err)
	for _, entry := range entries {
		if entry.Action == "credential.orphan_deleted" {
			subjects = append(subjects, entry.Subject+" by "+entry.Actor)
		}
	}
	return subjects
}

// TestI18TheSweepTakesOnlyWhatIsOverdue: with the database dropped, the sweep removes
// each JIT_ secret older than its class and no other.
func TestI18TheSweepTakesOnlyWhatIsOverdue(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	staging := lw.shop.CreateEnvironment("Staging 1")
	lw.lendInto(credential.Slot{Name: leaseSlot})
	lw.lendInto(credential.Slot{Name: "JIT_30M_CI", Environment: "staging 1"})
	for _, foreign := range []string{"DEPLOY", "JIT_DEPLOY", "JIT_1W_DEPLOY", "MY_JIT_1H_DEPLOY"} {
		lw.shop.SetSecret(foreign, "theirs")
		staging.SetSecret(foreign, "theirs")
	}
	const foreign = "DEPLOY JIT_1W_DEPLOY JIT_DEPLOY MY_JIT_1H_DEPLOY"
	lw.loseDatabase()
	lw.clock.pass(50 * time.Minute)
	lw.shop.SetSecret("JIT_1H_YOUNG", "made later")
	held := lw.lendInto(credential.Slot{Name: "JIT_5M_HELD"}) // for longer than its name says

	lw.clock.pass(14 * time.Minute)
	found, err := lw.sweep(true)
	must(t, err)
	if !found["JIT_30M_CI"].Overdue || found[leaseSlot].Overdue || found["JIT_1H_YOUNG"].Overdue || found["JIT_5M_HELD"].Lease != held.ID || len(found) != 4 {
		t.Errorf("within the margin it finds %+v", found)
	}
	lw.clock.pass(2 * time.Minute)
	if found, err = lw.sweep(true); err != nil || !found[leaseSlot].Overdue || found[leaseSlot].Deleted {
		t.Errorf("after the margin it finds %+v, %v", found, err)
	}
	if lw.count("delete") != 0 || len(lw.swept()) != 0 {
		t.Error("a dry sweep deletes")
	}

	if found, err = lw.sweep(false); err != nil || !found[leaseSlot].Deleted || !found["JIT_30M_CI"].Deleted {
		t.Errorf("it finds %+v, %v", found, err)
	}
	if own, its := names(lw.shop.Secrets()), names(staging.Secrets()); own != "DEPLOY JIT_1H_YOUNG JIT_1W_DEPLOY JIT_5M_HELD JIT_DEPLOY MY_JIT_1H_DEPLOY" || its != foreign {
		t.Errorf("left in the repository: %s; in the environment: %s", own, its)
	}
	if got := strings.Join(lw.swept(), ", "); got != "acme/shop JIT_1H_DEPLOY by ann, acme/shop JIT_30M_CI by ann" {
		t.Errorf("on record: %s", got)
	}

	last, next, err := lw.issuer.SweepOn(t.Context(), lw.installation.ID(), 0)
	must(t, err)
	if last != 0 || !next.Equal(found["JIT_1H_YOUNG"].OverdueAt) {
		t.Errorf("it goes on with %d, at %s", last, next)
	}
	lw.clock.pass(next.Sub(lw.clock.now()) + 2*time.Second)
	if _, _, err = lw.issuer.SweepOn(t.Context(), lw.installation.ID(), 0); err != nil || lw.shop.Secrets()["JIT_1H_YOUNG"] != "" {
		t.Errorf("what is overdue by now is left, %v", err)
	}
}

// What is written anew between the look and the deletion stays, and so does everything
// while the database cannot be read.
func TestASweepThatIsNotSureDeletesNothing(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lw.shop.SetSecret(leaseSlot, "old")
	lw.clock.pass(2 * time.Hour)
	lw.on(1, func() { lw.shop.SetSecret(leaseSlot, "new") })
	if _, err := lw.sweep(false); err != nil || lw.shop.Secrets()[leaseSlot] != "new" {
		t.Errorf("it took what was written meanwhile, or %v", err)
	}
	lw.clock.pass(2 * time.Hour)
	lw.on(1, func() { must(t, lw.facts.Close()) })
	if _, err := lw.sweep(false); err == nil || lw.shop.Secrets()[leaseSlot] != "new" {
		t.Errorf("with the database gone before the deletion: %v", err)
	}
	lw.on(0, nil)
	if _, err := lw.sweep(false); err == nil || lw.shop.Secrets()[leaseSlot] != "new" || lw.count("delete") != 0 {
		t.Errorf("with no database: %v", err)
	}
}

// A repository that cannot be read keeps no other from being swept, and GitHub's limit
// ends the sweep where it is.
func TestASweepGoesRoundWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	web := lw.acme.CreateRepository("web", map[string]string{"README.md": "x\n"})
	staging := lw.shop.CreateEnvironment("staging")
	set := func() {
		lw.loseDatabase() // a server takes only what was written before there was a record
		lw.shop.SetSecret(leaseSlot, "lost")
		staging.SetSecret(leaseSlot, "lost")
		web.SetSecret(leaseSlot, "lost")
		lw.clock.pass(2 * time.Hour)
	}
	for what, path := range map[string]string{"its secrets": `/shop/actions/secrets$`, "its environments": `/shop/environments$`, "an environment": `/staging/secrets$`} {
		set()
		mended := lw.github.Inject(githubsim.Fault{Path: regexp.MustCompile(path), Status: http.StatusForbidden})
		last, next, err := lw.issuer.SweepOn(t.Context(), lw.installation.ID(), 0)
		if left := len(lw.shop.Secrets()) + len(staging.Secrets()); err != nil || last != 0 || left != 1 || len(web.Secrets()) != 0 || next.Sub(lw.clock.now()) > time.Hour {
			t.Errorf("%s cannot be read: %d secrets are left, and %v in the other repository; it goes on at %s, %v", what, left, web.Secrets(), next, err)
		}
		if _, err := lw.sweep(true); err == nil {
			t.Errorf("%s cannot be read, and nobody is told", what)
		}
		mended()
	}
	wantText(t, lw.written(), "credential.not_swept")
	set()
	lw.github.SetRateLimit(lw.installation.ID(), 0, lw.clock.now().Add(10*time.Minute))
	if last, _, err := lw.issuer.SweepOn(t.Context(), lw.installation.ID(), lw.shop.ID()); err == nil || last != lw.shop.ID() {
		t.Errorf("at GitHub's limit it goes on with %d, %v", last, err)
	}
}

// Where the App may see no secrets it asks for none.
func TestASweepAsksForNothingWhereItMaySeeNothing(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lw.shop.SetSecret(leaseSlot, "old")
	lw.clock.pass(2 * time.Hour)
	lw.installation.SetPermission("secrets", "")
	lw.installation.SetPermission("environments", "")
	lw.github.ResetRequests()
	if found, err := lw.sweep(false); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
	if asked := lw.github.Requests(); len(asked) != 1 {
		t.Errorf("it asks %d times", len(asked))
	}
}

// A server whose database was lost sweeps when it starts, and again when the next secret
// is overdue.
func TestAServerWithANewDatabaseSweeps(t *testing.T) {
	t.Parallel()
	tw, clock := sweepingWorld(t)
	tw.settled()
	tw.must(tw.server.Stop(t.Context()))
	tw.shop.SetSecret(leaseSlot, "lost")
	tw.shop.SetSecret("JIT_3H_DEPLOY", "lost too")
	clock.pass(2 * time.Hour)
	tw.must(tw.serve(t.Context()))
	tw.settled()
	if got := names(tw.shop.Secrets()); got != "JIT_1H_DEPLOY JIT_3H_DEPLOY" {
		t.Errorf("it was swept a while ago, and a start leaves %s", got)
	}
	tw.must(tw.server.Stop(t.Context()))
	tw.database = "sqlite:" + t.TempDir() + "/new.db"
	tw.must(tw.serve(t.Context()))
	tw.settled()
	if got := names(tw.shop.Secrets()); got != "JIT_3H_DEPLOY" {
		t.Errorf("left: %s", got)
	}
	clock.pass(time.Hour + 6*time.Minute)
	tw.sweep(recovery.KeyReach) // it notices that the clock was moved
	tw.settled()
	if got := names(tw.shop.Secrets()); got != "" {
		t.Errorf("left: %s", got)
	}
	if acts := tw.audited("credential"); acts != "credential.orphan_deleted portcullis, credential.orphan_deleted portcullis" {
		t.Errorf("on record: %s", acts)
	}
}

// What was written since there is a record is on it, or somebody else's: a server leaves
// it and tells.
func TestAServersSweepLeavesWhatWasWrittenSince(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lw.issue()
	lw.endAll()
	lw.shop.SetSecret(leaseSlot, "theirs")
	lw.clock.pass(2 * time.Hour)
	if _, _, err := lw.issuer.SweepOn(t.Context(), lw.installation.ID(), 0); err != nil || lw.shop.Secrets()[leaseSlot] != "theirs" {
		t.Errorf("it is gone, or %v", err)
	}
	wantText(t, lw.written(), "credential.orphan")

	lw.installation.Delete()
	if last, next, err := lw.issuer.SweepOn(t.Context(), lw.installation.ID(), 0); last != 0 || !next.IsZero() || err != nil {
		t.Errorf("where the App was removed it goes on at %d, %s, %v", last, next, err)
	}
}
