// Package egress is the only way out of a sandbox: an HTTP forward proxy on the host, one
// [Proxy] for each sandbox, which answers on a socket that nobody else has. What is in the
// sandbox is assumed to be hostile, and so is what it reaches.
//
// What gets out is what the [Policy] names, and the zero Policy names nothing:
//
//   - CONNECT to port 443 of a host that is listed, in which a TLS ClientHello follows that
//     names the same host. One that names none, or hides it (ECH, and what browsers send in
//     its place to look alike), is refused.
//   - A plain request, GET http://host/, to port 80 of a host that is listed. Redirects are
//     not followed and connections are not upgraded: a WebSocket goes by CONNECT.
//   - With Any, CONNECT and plain requests to every public address and port but 25.
//
// The proxy looks names up itself, once, refuses them if one address is not public, and
// dials the address that it looked at. Each connection carries one request, and who ends its
// side before the answer has begun is taken to have gone.
//
// An [Injection] gives a server a credential that the sandbox never has. Where it stops:
//
//   - The secret is masked in what comes back as it was sent, and nowhere else: a server that
//     gives back what it is sent in other words (base64, JSON escapes, its digest, part by
//     part) gives the secret away. Inject for servers that do not. Ranges are not asked for.
//   - What a server gives in exchange for it, as a cookie, is the sandbox's.
//
// Inside of TLS nobody looks. Where one server has many names, as a content network does, a
// request can name another in it than the ClientHello did; and a host at which anybody may
// write is a way for anything to leave by. List hosts accordingly.
package egress
