package credential_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
)

// TestASecretCannotBePrinted: not by fmt, not by encoding/json, not by a logger, wherever
// it is kept.
func TestASecretCannotBePrinted(t *testing.T) {
	const canary = "c4nary-value"
	secret := credential.NewSecret(canary)
	type kept struct {
		credential.JITCredential

		inner  credential.Secret
		shared *credential.Secret
		named  map[string]credential.Secret
	}
	holder := kept{credential.JITCredential{ID: "7", Token: secret}, secret, &secret, map[string]credential.Secret{"x": secret}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
		for _, value := range []any{secret, &secret, holder, &holder, []credential.Secret{secret}, holder.named, fmt.Errorf("failed: %v", secret)} {
			_, _ = fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, value := range []any{secret, &secret, holder, holder.named, credential.Material{Values: holder.named}} {
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Error(err)
		}
		out.Write(encoded)
	}
	log := zerolog.New(&out)
	log.Info().Interface("secret", secret).Any("holder", holder).Stringer("s", secret).Err(errors.New(secret.String())).Msgf("%v %+v", secret, holder)
	slog.New(slog.NewTextHandler(&out, nil)).InfoContext(context.Background(), "secret", "value", secret, "holder", holder)
	func() {
		defer func() { _, _ = fmt.Fprintf(&out, "%v %+v", recover(), holder) }()
		panic(holder)
	}()
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%q", canary)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%s is in %s", form, out.String())
		}
	}
	if secret.Reveal() != canary || secret.IsZero() || !(credential.Secret{}).IsZero() {
		t.Error("the value is gone")
	}
}

func TestFilterHidesWhatLooksLikeASecret(t *testing.T) {
	token, err := credential.Opaque{}.Issue(t.Context(), credential.Order{})
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{
		"installation token": "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
		"stateless one":      "ghs_12345_eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJl-" + strings.Repeat("x", 400),
		"user token":         "ghu_16C7e42F292c6912E7710c838347Ae178B4a",
		"fine-grained":       "github_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ",
		"ours":               token.Values[""].Reveal(),
		"web token":          "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJl",
		"Vault's":            "hvs.CAESIJ2l4kPyYJtKd0y7yV2mBqWwC",
		"key":                "-----BEGIN RSA PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA\\n-----END RSA PRIVATE KEY-----",
	} {
		var out bytes.Buffer
		line := fmt.Sprintf(`{"level":"warn","error":"refused %s here","message":"done"}`+"\n", secret)
		n, err := credential.Filter(&out).Write([]byte(line))
		if want := `{"level":"warn","error":"refused [secret] here","message":"done"}` + "\n"; err != nil || n != len(line) || out.String() != want {
			t.Errorf("%s: %d of %d, %v: %s", name, n, len(line), err, out.String())
		}
	}
	harmless := `{"sha":"16c7e42f292c6912e7710c838347ae178b4a0000","message":"JIT_1H_DEPLOY was lent, jit_1 was not"}`
	var out bytes.Buffer
	if _, err := credential.Filter(&out).Write([]byte(harmless)); err != nil || out.String() != harmless {
		t.Errorf("%v: %s", err, out.String())
	}
}

func BenchmarkFilter(b *testing.B) {
	line := []byte(`{"level":"info","pr":"acme/shop#7","check":"success","title":"peer-review: approved by bob","message":"decided"}` + "\n")
	to := credential.Filter(discard{})
	for b.Loop() {
		_, _ = to.Write(line)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
