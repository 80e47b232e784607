package app

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/store"
)

// lendsOn is a world on the database in which a credential is lent, with its ID and its
// token.
func lendsOn(t *testing.T, database string) (tw *testWorld, id, token string) {
	t.Helper()
	tw = newTestWorldOn(t, database, atOnce)
	tw.set(lendingPolicy)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.review(pr, "lee", "APPROVE")
	tw.comment(pr, "ann", "/credential issue deploy")
	leases, err := tw.server.store.Leases(t.Context(), credential.Selection{Live: true})
	tw.must(err)
	if len(leases) != 1 {
		t.Fatalf("%d are lent: %v", len(leases), pr.Comments())
	}
	return tw, leases[0].ID, tw.shop.Secrets()[leaseSlot]
}

// credentials runs `credentials` and expects that it ends so and says that, without the
// token.
func (tw *testWorld) credentials(code int, token string, args []string, wanted ...string) {
	tw.t.Helper()
	got, out, errs := tw.command(append([]string{"credentials"}, args...)...)
	wantText(tw.t, out+errs, wanted...)
	if got != code || strings.Contains(out+errs, token) || strings.Count(errs, "\n") > 1 {
		tw.t.Errorf("%v: exit %d, %s%s", args, got, out, errs)
	}
}

func TestCredentialsAreRevokedBesideAServer(t *testing.T) {
	t.Parallel()
	tw, id, token := lendsOn(t, sharedDatabase(t))
	tw.credentials(exitOK, token, []string{"list"}, id, "active", "deploy", "acme/shop#1", "ann", "in JIT_1H_DEPLOY")
	_, out, _ := tw.command("credentials", "list", "--json")
	var listed []struct {
		ID, State, Repository string
		Accepted              bool
	}
	if err := json.Unmarshal([]byte(out), &listed); err != nil || len(listed) != 1 || listed[0].ID != id || !listed[0].Accepted || strings.Contains(out, token) {
		t.Errorf("as JSON: %s, %v", out, err)
	}
	tw.credentials(exitOK, token, []string{"revoke", id, "--reason", "it leaked"}, id+" (deploy, acme/shop#1) has ended and is refused from now on")
	if got := tw.introspect(token); got != `{"active":false}` {
		t.Errorf("after it was revoked: %s", got)
	}
	if left := tw.shop.Secrets(); len(left) != 0 {
		t.Errorf("after it was revoked: %v", left)
	}
	if acts := tw.audited("credential.ended"); acts != "credential.ended the command line" {
		t.Errorf("on record: %s", acts)
	}
	tw.credentials(exitOK, token, []string{"list"}, "nothing is lent")
	tw.credentials(exitOK, token, []string{"revoke", id}, "had ended already and is revoked: revoked from the command line: it leaked")
}

func TestCredentialsInAFile(t *testing.T) {
	t.Parallel()
	tw, id, token := lendsOn(t, "sqlite:"+t.TempDir()+"/portcullis.db")
	tw.credentials(exitOK, token, []string{"list"}, id)
	tw.credentials(exitOK, token, []string{"sweep"}, "lent as "+id, "nothing is overdue")
	tw.credentials(exitError, token, []string{"revoke", id}, "a server that runs has the database open", "say `/credential revoke` in the pull request, or stop the server")
	tw.credentials(exitError, token, []string{"sweep", "--delete"}, "a server that runs has the database open", "stop the server and do this again")
	wantText(t, tw.introspect(token), `"active":true`)

	tw.must(tw.server.Stop(t.Context()))
	tw.acme.CreateRepository("web", map[string]string{"README.md": "x\n"})
	tw.credentials(exitOK, token, []string{"revoke", "--all", "--scope", "acme/shop#2"}, "nothing is lent in acme/shop#2")
	tw.credentials(exitOK, token, []string{"revoke", "--all", "--scope", "acme/web"}, "nothing is lent in acme/web")
	mended := tw.github.Inject(githubsim.Fault{Method: http.MethodDelete, Path: regexp.MustCompile(`/actions/secrets/`), Status: http.StatusBadGateway})
	tw.credentials(exitError, token, []string{"revoke", "--all", "--scope", "acme", "--wait", "2s"}, id, "is refused from now on", "left: "+id+": delete JIT_1H_DEPLOY of acme/shop: ", "a server goes on with that")
	mended()
	tw.credentials(exitOK, token, []string{"list"}, "revoking", "ended: revoked from the command line; it could not be cleared away: delete JIT_1H_DEPLOY")
	tw.credentials(exitError, token, []string{"revoke", "--all", "--scope", "acme/shop#1", "--wait", "0s"}, "had ended already and is revoking", "left: "+id)
}

func TestCredentialsRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	tw.must(tw.server.Stop(t.Context()))
	const none = "0190a1b2-0000-7000-8000-000000000000"
	for args, want := range map[string]string{
		"revoke": "name one credential", "revoke --all": "name one credential", "revoke --scope acme": "name one credential", "revoke " + none + " --all --scope acme": "name one credential",
		"revoke " + none: "there is no such credential: " + none, "revoke --all --scope acme/": "--scope is OWNER", "revoke --all --scope nobody": "the App is not installed",
		"revoke --forget --reason gone": "--forget takes the ID", "revoke --forget " + none: "needs a --reason", "revoke --forget --reason gone " + none: "there is no such credential",
	} {
		tw.credentials(exitError, "no token", strings.Fields(args), want)
	}
	tw.database = "sqlite:" + t.TempDir() + "/none.db"
	for _, args := range []string{"list", "revoke " + none, "sweep", "sweep --delete"} {
		tw.credentials(exitError, "no token", strings.Fields(args), "there is no database: see that database.url is the server's")
	}
}

// One that is stuck is forgotten for a reason, which is put on record, and its name is
// free again.
func TestAStuckCredentialIsForgotten(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lw.upstream.life = 48 * time.Hour
	lent := lw.issue()
	lw.upstream.fails = errUpstream
	forget := func() (int, string) {
		must(t, lw.facts.Close())
		code, out, errs := command(t, lw.config(), "credentials", "revoke", "--forget", lent.ID, "--reason", "ended by hand")
		facts, err := store.Open(t.Context(), lw.database, lw.clock.now)
		must(t, err)
		lw.facts = facts
		lw.restart()
		return code, out + errs
	}
	if code, said := forget(); code != exitError || !strings.Contains(said, "only a credential that is stuck can be forgotten") || !lw.accepts(lent) {
		t.Errorf("one that is lent: exit %d, %s", code, said)
	}
	must(t, lw.issuer.Revoke(t.Context(), lent.ID))
	lw.reap(40 * time.Minute)
	if _, err := lw.issuer.Issue(t.Context(), lw.request()); err == nil {
		t.Error("while it is stuck, its slot is lent to somebody else")
	}
	if code, said := forget(); code != exitOK || !strings.Contains(said, "is forgotten") {
		t.Errorf("one that is stuck: exit %d, %s", code, said)
	}
	if lease := lw.lease(lent.ID); lease.State != credential.StateRevoked || lease.Handle != nil {
		t.Errorf("it is %s, and its handle is %q", lease.State, lease.Handle)
	}
	entries, err := lw.facts.AuditEntries(t.Context(), 0, 100)
	must(t, err)
	if last := entries[len(entries)-1]; last.Action != "credential.forgotten" || last.Actor != commandLine || !strings.HasPrefix(last.Detail, "ended by hand; it could not be cleared away: revoke it: ") {
		t.Errorf("on record: %+v", last)
	}
	lw.issue()
}

// What a server forgot meanwhile stays forgotten when an attempt to clear it away fails.
func TestWhatIsForgottenStaysForgotten(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lent := lw.issueStuck()
	_, next, err := lw.facts.DueLease(t.Context(), lw.installation.ID(), lw.clock.now())
	must(t, err)
	lw.clock.pass(next.Sub(lw.clock.now()))
	lw.on(1, func() {
		must(t, lw.issuer.Forget(t.Context(), lent.ID, credential.Ending{Reason: "ended by hand", At: lw.clock.now()}))
	})
	_, err = lw.issuer.Clear(t.Context(), lw.installation.ID())
	must(t, err)
	lw.on(0, nil)
	if state := lw.lease(lent.ID).State; state != credential.StateRevoked {
		t.Errorf("it is %s again", state)
	}
}

func TestTheSweepFromATerminal(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lent := lw.lendInto(credential.Slot{Name: "JIT_1M_HELD"})
	lw.shop.SetSecret(leaseSlot, "lost")
	lw.clock.pass(70 * time.Minute)
	lw.shop.SetSecret("JIT_2H_YOUNG", "lost")
	run := func(code int, args []string, wanted ...string) {
		t.Helper()
		got, out, errs := command(t, lw.config(), append([]string{"credentials", "sweep"}, args...)...)
		wantText(t, out+errs, wanted...)
		if got != code {
			t.Errorf("exit %d: %s%s", got, out, errs)
		}
	}
	left := []string{"left     JIT_1M_HELD of acme/shop: written at ", "lent as " + lent.ID, "left     JIT_2H_YOUNG of acme/shop: ", "by its name it may be there until"}
	run(exitOK, nil, append(left, "overdue  JIT_1H_DEPLOY of acme/shop: ", "1 overdue; --delete deletes them")...)
	if len(lw.shop.Secrets()) != 3 {
		t.Error("without --delete it deletes")
	}
	must(t, lw.facts.Close())
	run(exitOK, []string{"--delete"}, append(left, "deleted  JIT_1H_DEPLOY of acme/shop: ")...)
	if got := names(lw.shop.Secrets()); got != "JIT_1M_HELD JIT_2H_YOUNG" {
		t.Errorf("left: %s", got)
	}
	lw.github.Inject(githubsim.Fault{Path: regexp.MustCompile(`/shop/actions/secrets$`), Status: http.StatusForbidden})
	run(exitError, nil, "problem  acme: list the secrets of acme/shop: GitHub answered 403")
}
