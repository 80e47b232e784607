package handlers_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWhatEveryPayloadMustName leaves out, one after the other, what says which
// repository a payload is about, in each of the shapes in which payloads have it.
func TestWhatEveryPayloadMustName(t *testing.T) {
	for _, payload := range []struct{ event, body string }{
		{"pull_request", `{"action":"labeled",` + pull + ann + `}`},
		{"check_run", `{"action":"rerequested","check_run":{"external_id":"acme/shop#7"},` + place + ann + `}`},
		{"push", `{"ref":"refs/heads/main","forced":true,` + place + ann + `}`},
		{"repository", `{"action":"edited",` + place + ann + `}`},
	} {
		for _, part := range []struct{ name, is, instead string }{
			{"installation", `"installation":{"id":5}`, `"installation":null`},
			{"repository's number", `"id":11`, `"id":0`},
			{"repository's name", `"name":"shop"`, `"name":""`},
			{"owner", `"full_name":"acme/shop","owner":{"login":"acme"}`, `"full_name":"","owner":null`},
		} {
			body := strings.Replace(payload.body, part.is, part.instead, 1)
			if body == payload.body {
				t.Fatalf("%s has no %s", payload.event, part.name)
			}
			inbox, w := &keeper{}, httptest.NewRecorder()
			newDoor(t, inbox, io.Discard).ServeHTTP(w, delivery(payload.event, body))
			if w.Code != http.StatusBadRequest || len(inbox.accepted) != 0 {
				t.Errorf("%s without the %s: answered %d %q", payload.event, part.name, w.Code, w.Body)
			}
		}
	}
}
