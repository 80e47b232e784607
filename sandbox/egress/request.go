package egress

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"net/textproto"
)

// answer is the handler of every request.
func (p *Proxy) answer(w http.ResponseWriter, r *http.Request) {
	c, is := r.Context().Value(connKey{}).(*conn)
	if !is {
		p.tell(w, errors.New("there is a request without a connection"))
		return
	}
	err := checkHead(c.heard(), r)
	switch {
	case err != nil:
	case r.Method == http.MethodConnect:
		err = p.tunnel(w, r, c)
	default:
		err = p.forward(w, r, c)
	}
	if err != nil {
		p.tell(w, err)
	}
}

// tell answers with the sentence of a refusal, and logs it.
func (p *Proxy) tell(w http.ResponseWriter, err error) {
	r, is := errors.AsType[*refusal](err)
	if !is {
		r = &refusal{status: http.StatusBadGateway, reason: "fault", told: "the proxy of this sandbox could not do that", cause: err}
	}
	p.journal.refuse(r)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(r.told + "\n"))
}

// checkHead looks at what net/http reads and forgets: the Host that a proxy is to ignore,
// and two lengths of one body, of which it takes one. Whoever sends them wants to be
// understood differently by two readers. The same parser has taken the head before.
func checkHead(head []byte, r *http.Request) error {
	reader := textproto.NewReader(bufio.NewReader(bytes.NewReader(head)))
	if _, err := reader.ReadLine(); err != nil {
		return malformed("form", "this is no request")
	}
	header, err := reader.ReadMIMEHeader()
	if err != nil {
		return malformed("form", "this is no request")
	}
	lengths, codings := header.Values("Content-Length"), header.Values("Transfer-Encoding")
	switch {
	case len(lengths) > 1 || (len(lengths) > 0 && len(codings) > 0):
		return malformed("two lengths", "the request gives the length of its body twice")
	case len(codings) > 0 && !r.ProtoAtLeast(1, 1):
		return malformed("two lengths", "HTTP/1.0 has no Transfer-Encoding")
	case r.Method == http.MethodConnect && (len(codings) > 0 || r.ContentLength != 0):
		return malformed("form", "CONNECT has no body")
	}
	return checkHost(header.Values("Host"), r)
}

// checkHost holds the Host header, if there is one, to the target.
func checkHost(hosts []string, r *http.Request) error {
	if len(hosts) == 0 {
		return nil
	}
	asked, err := targetOf(r)
	if err != nil {
		return err
	}
	host, err := parseTarget(hosts[0], asked.port)
	if len(hosts) > 1 || err != nil || host != asked {
		return &refusal{
			status: http.StatusBadRequest, target: asked, reason: "two hosts",
			told: "the Host header is not that of the host that is asked for",
		}
	}
	return nil
}

// targetOf reads what a request is for: host:port after CONNECT, or else an absolute
// http:// URL. Every other form is refused.
func targetOf(r *http.Request) (target, error) {
	u := r.URL
	switch {
	case r.Method == http.MethodConnect:
		return understood(parseTarget(r.RequestURI, 0))
	case u.Scheme == "https":
		return target{}, malformed("form", "https:// is reached by CONNECT")
	case u.Scheme != "http" || u.Host == "":
		return target{}, malformed("form", "this is a proxy: it takes CONNECT host:443 and http:// URLs, and has nothing of its own")
	case u.User != nil || u.Opaque != "":
		return target{}, malformed("form", "a URL here is http://host/path, without a user")
	}
	return understood(parseTarget(u.Host, 80))
}

// understood makes a refusal of what is wrong with a target.
func understood(t target, err error) (target, error) {
	if err != nil {
		return target{}, malformed("host", err.Error())
	}
	return t, nil
}
