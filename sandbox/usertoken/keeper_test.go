package usertoken_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ann = policy.Actor{ID: 7, Login: "ann", Kind: policy.KindUser}

// hub is GitHub, as far as tokens go.
type hub struct {
	mu      sync.Mutex
	now     time.Time
	good    map[string]bool // access tokens
	renews  map[string]bool
	made    int
	renewed int
	// loses has an answer be lost after what was asked for was done, fails before.
	loses, fails bool
	revoked      []string
	pending      int // how often it is asked in vain for a device
}

var errAway = errors.New("GitHub could not be reached")

func (h *hub) grant() usertoken.Grant {
	h.made++
	g := usertoken.Grant{Access: fmt.Sprint("ghu_", h.made), Refresh: fmt.Sprint("ghr_", h.made), ExpiresAt: h.now.Add(8 * time.Hour), RefreshExpiresAt: h.now.Add(184 * 24 * time.Hour)}
	h.good[g.Access], h.renews[g.Refresh] = true, true
	return g
}

func (h *hub) Redeem(_ context.Context, code, _, _ string) (usertoken.Grant, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if code != "code" {
		return usertoken.Grant{}, &usertoken.OverError{Cause: errors.New("bad_verification_code")}
	}
	return h.grant(), nil
}

func (h *hub) Renew(_ context.Context, refresh string) (usertoken.Grant, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.renewed++
	if h.fails {
		return usertoken.Grant{}, errAway
	}
	if !h.renews[refresh] {
		return usertoken.Grant{}, &usertoken.OverError{Cause: errors.New("bad_refresh_token")}
	}
	delete(h.renews, refresh)
	h.good = map[string]bool{}
	g := h.grant()
	if h.loses {
		return usertoken.Grant{}, errAway
	}
	return g, nil
}

func (h *hub) Owner(_ context.Context, access string) (policy.Actor, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.good[access] {
		return policy.Actor{}, errors.New("401")
	}
	return ann, nil
}

func (h *hub) Revoke(_ context.Context, access string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fails {
		return errAway
	}
	h.revoked = append(h.revoked, access)
	return nil
}

func (h *hub) BeginDevice(context.Context) (usertoken.Device, error) {
	return usertoken.Device{Code: "device", UserCode: "WDJB-MJHT", Address: "https://github.example/login/device", ExpiresAt: h.now.Add(15 * time.Minute), Interval: 5 * time.Second}, nil
}

func (h *hub) PollDevice(_ context.Context, code string) (usertoken.Grant, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending--; h.pending >= 0 {
		return usertoken.Grant{}, &usertoken.PendingError{Interval: 10 * time.Second}
	}
	if code != "device" {
		return usertoken.Grant{}, &usertoken.OverError{Cause: errors.New("access_denied")}
	}
	return h.grant(), nil
}

// seals is a cipher that says for what it encrypted.
type seals struct{ key string }

func (s seals) Encrypt(plain []byte, purpose string) ([]byte, error) {
	return []byte(s.key + "|" + purpose + "|" + base64.StdEncoding.EncodeToString(plain)), nil
}

func (s seals) Decrypt(encrypted []byte, purpose string) ([]byte, error) {
	text, ours := strings.CutPrefix(string(encrypted), s.key+"|"+purpose+"|")
	if !ours {
		return nil, errors.New("it is not what was encrypted")
	}
	return base64.StdEncoding.DecodeString(text)
}

// world is a keeper, and what it keeps in.
type world struct {
	*usertoken.Keeper

	t      *testing.T
	hub    *hub
	store  *usertoken.MemoryStore
	config usertoken.Config
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, hub: &hub{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), good: map[string]bool{}, renews: map[string]bool{}}, store: usertoken.NewMemoryStore()}
	w.config = usertoken.Config{
		GitHub: w.hub, Store: w.store, Cipher: seals{"key"}, SettingsURL: "https://github.example/settings", Log: zerolog.Nop(),
		Now: func() time.Time { w.hub.mu.Lock(); defer w.hub.mu.Unlock(); return w.hub.now },
		Wait: func(ctx context.Context, d time.Duration) error {
			w.pass(d)
			return ctx.Err()
		},
	}
	w.Keeper = usertoken.NewKeeper(w.config)
	return w
}

func (w *world) pass(d time.Duration) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.hub.now = w.hub.now.Add(d)
}

func (w *world) accepted() {
	w.t.Helper()
	if who, err := w.Accept(w.t.Context(), "code", "verifier", "https://x"); err != nil || who != ann {
		w.t.Fatalf("%+v, %v", who, err)
	}
}

// value is ann's token, or why there is none.
func (w *world) value() string {
	token, err := w.Token(w.t.Context(), ann)
	if needed, is := errors.AsType[*usertoken.NeededError](err); is {
		return "needed: " + needed.Why
	}
	if err != nil {
		return "error: " + err.Error()
	}
	if token.Owner.ID != ann.ID {
		w.t.Errorf("it is %+v's", token.Owner)
	}
	return token.Reveal()
}

func (w *world) want(what, want string) {
	w.t.Helper()
	if got := w.value(); !strings.HasPrefix(got, want) {
		w.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// acts are what the audit log has.
func (w *world) acts() string {
	var all []string
	for _, e := range w.store.Entries() {
		all = append(all, e.Actor+" "+e.Action+" "+e.Subject)
	}
	return strings.Join(all, "; ")
}

func TestATokenIsRenewedBeforeItEnds(t *testing.T) {
	w := newWorld(t)
	w.want("nobody's", "needed: they have not done so")
	w.accepted()
	w.want("new", "ghu_1")
	w.pass(7*time.Hour + 39*time.Minute)
	w.want("good for a while", "ghu_1")
	w.pass(2 * time.Minute)
	w.want("renewed", "ghu_2")
	w.want("and kept", "ghu_2")
	w.pass(200 * 24 * time.Hour)
	w.want("too late", "needed: it is too long ago")
	if acts := w.acts(); acts != "ann user_token.keep @ann" {
		t.Error(acts)
	}
	kept, err := w.store.UserToken(t.Context(), ann.ID)
	if err != nil || strings.Contains(string(kept.Sealed), "ghu_2") || !strings.HasPrefix(string(kept.Sealed), "key|user token of 7|") {
		t.Errorf("at rest: %s, %v", kept.Sealed, err)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", usertoken.New(ann, "ghu_secret"), usertoken.New(ann, "ghu_secret"), usertoken.New(ann, "ghu_secret"), usertoken.New(ann, "ghu_secret")); strings.Contains(shown, "ghu_secret") {
		t.Errorf("a token shows itself: %s", shown)
	}
}

// What renews a token is good once: of many who want it, in several processes, one asks.
func TestOneRenews(t *testing.T) {
	w := newWorld(t)
	w.accepted()
	w.pass(8 * time.Hour)
	config := w.config
	config.Wait = func(ctx context.Context, _ time.Duration) error {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	var all sync.WaitGroup
	for range 8 {
		keeper := usertoken.NewKeeper(config)
		all.Go(func() {
			if token, err := keeper.Token(t.Context(), ann); err != nil || token.Reveal() != "ghu_2" {
				t.Errorf("%v, %v", token.Reveal(), err)
			}
		})
	}
	all.Wait()
	if w.hub.renewed != 1 {
		t.Errorf("it was renewed %d times", w.hub.renewed)
	}
}

// A lost answer is told, and not silent: with it, the next token is lost as well.
func TestALostAnswer(t *testing.T) {
	w := newWorld(t)
	w.accepted()
	w.pass(8 * time.Hour)
	w.hub.fails = true
	w.want("an outage", "error: renew the token of ann: GitHub could not be reached")
	w.hub.fails = false
	w.want("after an outage in which nothing was done", "ghu_2")
	w.pass(8 * time.Hour)
	w.hub.loses = true
	w.want("a lost answer", "error: renew the token of ann")
	w.hub.loses = false
	w.want("after it", "needed: GitHub does not renew their token any more")
	w.want("from then on", "needed: they have not done so")
	if acts := w.acts(); acts != "ann user_token.keep @ann; portcullis user_token.lost @ann" {
		t.Error(acts)
	}
	w.accepted()
	w.want("once she has let it again", "ghu_4")
}

// A process that dies while it renews keeps nobody from it for longer than its turn.
func TestATurnThatNobodyEnds(t *testing.T) {
	w := newWorld(t)
	w.accepted()
	w.pass(8 * time.Hour)
	dying := w.config
	dying.GitHub = dies{w.hub}
	func() {
		defer func() { _ = recover() }()
		_, _ = usertoken.NewKeeper(dying).Token(t.Context(), ann)
	}()
	before := w.config.Now()
	w.want("afterwards", "ghu_2")
	if waited := w.config.Now().Sub(before); waited < 29*time.Second || waited > 40*time.Second {
		t.Errorf("it was waited for %s", waited)
	}
}

type dies struct{ usertoken.GitHub }

func (dies) Renew(context.Context, string) (usertoken.Grant, error) { panic("the process dies") }

func TestAnotherKeyReadsNothing(t *testing.T) {
	w := newWorld(t)
	w.accepted()
	config := w.config
	config.Cipher = seals{"another"}
	w.Keeper = usertoken.NewKeeper(config)
	w.want("with another key", "needed: what is kept of their token cannot be read")
}

func TestTokensThatAreTakenBack(t *testing.T) {
	w := newWorld(t)
	for range 2 { // again: there is nothing
		if err := errors.Join(w.Forget(t.Context(), ann), w.Revoke(t.Context(), ann, ann)); err != nil {
			t.Error(err)
		}
	}
	w.accepted()
	if err := w.Forget(t.Context(), ann); err != nil {
		t.Error(err)
	}
	w.want("forgotten", "needed: they have not done so")
	w.accepted()
	w.pass(8 * time.Hour)
	admin := policy.Actor{ID: 1, Login: "lee"}
	if err := w.Revoke(t.Context(), ann, admin); err != nil || strings.Join(w.hub.revoked, " ") != "ghu_3" {
		t.Errorf("%v, with %v", err, w.hub.revoked)
	}
	w.want("revoked", "needed: they have not done so")
	w.accepted()
	w.hub.fails = true
	if err := w.Revoke(t.Context(), ann, admin); err == nil || !strings.Contains(err.Error(), "https://github.example/settings") || !errors.Is(err, errAway) {
		t.Errorf("without GitHub: %v", err)
	}
	w.want("kept nevertheless", "needed: they have not done so")
	if want := "ann user_token.forget @ann; ann user_token.keep @ann; lee user_token.forget @ann"; !strings.Contains(w.acts(), want) {
		t.Error(w.acts())
	}
	if _, err := w.Accept(t.Context(), "another", "verifier", "https://x"); err == nil {
		t.Error("a code that is none is accepted")
	}
}

func TestExpectations(t *testing.T) {
	w := newWorld(t)
	expected := func(what, want string) {
		t.Helper()
		all, err := w.Expected(t.Context())
		if got := fmt.Sprint(len(all)); err != nil || len(all) > 0 && fmt.Sprint(all[0].Person.Login, " ", all[0].Pays) != want || len(all) == 0 && want != "" {
			t.Errorf("%s: %s, %+v, %v", what, got, all, err)
		}
	}
	expect := func(in time.Duration, pays bool) {
		t.Helper()
		if err := w.Expect(t.Context(), ann, w.config.Now().Add(in), pays); err != nil {
			t.Fatal(err)
		}
	}
	expected("nothing", "")
	w.accepted()
	expect(time.Hour, false)
	expect(30*time.Minute, true)
	expected("what she pays for", "ann true")
	if err := w.Forget(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	expected("what nobody else sees", "ann true")
	w.pass(2 * time.Hour)
	expected("two hours later", "")
	expect(time.Hour, false)
	expected("what the organization pays for", "ann false")
	w.accepted()
	if err := w.Forget(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	expected("what the organization sees", "")
}

// An organization is told apart from a person of the same number.
func TestExpectationsOfOrganizations(t *testing.T) {
	w := newWorld(t)
	place, until := policy.Repository{Installation: ann.ID, ID: 7, Owner: "acme", Name: "shop"}, w.config.Now().Add(time.Hour)
	if err := errors.Join(w.ExpectIn(t.Context(), place, until), w.Expect(t.Context(), ann, until.Add(time.Minute), false)); err != nil {
		t.Fatal(err)
	}
	all, err := w.Expected(t.Context())
	if err != nil || len(all) != 2 || all[0] != (usertoken.Expectation{Place: policy.Repository{Installation: ann.ID, Owner: "acme"}, Until: until}) || all[1].Person.ID != ann.ID || all[1].Place.Owner != "" {
		t.Errorf("%+v, %v", all, err)
	}
	if err := errors.Join(w.ExpectNoMore(t.Context(), place, until.Add(-time.Second)), w.ExpectIn(t.Context(), place, until)); err != nil {
		t.Fatal(err)
	}
	if still, err := w.Expected(t.Context()); err != nil || len(still) != 2 {
		t.Errorf("by another time: %+v, %v", still, err)
	}
	if err := w.ExpectNoMore(t.Context(), place, until); err != nil {
		t.Fatal(err)
	}
	if left, err := w.Expected(t.Context()); err != nil || len(left) != 1 || left[0].Person.ID != ann.ID {
		t.Errorf("no more: %+v, %v", left, err)
	}
	for place, is := range map[policy.Repository]bool{
		{Installation: ann.ID, Owner: "renamed"}: true, {Installation: 99, Owner: "Acme"}: true, {Installation: 99, Owner: "other"}: false,
	} {
		if all[0].IsIn(place) != is {
			t.Errorf("in %+v: %v", place, !is)
		}
	}
}
