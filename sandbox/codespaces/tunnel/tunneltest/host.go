package tunneltest

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/portcullis-app/portcullis/sandbox/codespaces"
)

const internalPort, sshPort = 16634, 2222

// host is the codespace's end of a tunnel, until the client closes it.
func (w *World) host(id string, conn net.Conn) {
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(w.signer)
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for request := range requests {
			known := request.Type == "RefreshPorts"
			_ = request.Reply(known, nil)
			if known && !w.Silent {
				serving.Go(func() { w.forward(id, server) })
			}
		}
	})
	for asked := range channels {
		if asked.ChannelType() == "session" {
			_, requests, err := asked.Accept()
			if err == nil {
				go ssh.DiscardRequests(requests)
			}
			continue
		}
		serving.Go(func() { w.port(id, asked) })
	}
	serving.Wait()
}

// forward asks for the ports that the service knows to be forwarded.
func (w *World) forward(id string, server *ssh.ServerConn) {
	w.mu.Lock()
	ports := append([]int{}, w.Known...)
	for port := range w.ports[id] {
		ports = append(ports, port)
	}
	w.mu.Unlock()
	for _, port := range ports {
		_, _, _ = server.SendRequest("tcpip-forward", true, ssh.Marshal(struct {
			Host string
			Port uint32
		}{"127.0.0.1", uint32(port)})) //nolint:gosec // it is a port
	}
}

// port connects to one.
func (w *World) port(id string, asked ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		Originator string
		From       uint32
	}
	if asked.ChannelType() != "forwarded-tcpip" || ssh.Unmarshal(asked.ExtraData(), &to) != nil || to.Host != "127.0.0.1" {
		_ = asked.Reject(ssh.Prohibited, "that is no port of 127.0.0.1")
		return
	}
	if to.Port == internalPort {
		w.serveGRPC(id, asked)
		return
	}
	nobody := func() { _ = asked.Reject(ssh.ConnectionFailed, "nobody listens there") }
	if to.Port != sshPort {
		nobody()
		return
	}
	target, err := (&net.Dialer{}).DialContext(w.ctx, "tcp", w.SSH)
	if err != nil {
		nobody()
		return
	}
	channel, requests, err := asked.Accept()
	if err != nil {
		_ = target.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(target, channel)
		_ = target.Close()
	})
	_, _ = io.Copy(channel, target)
	_ = channel.Close()
	both.Wait()
}

// service is the one that GitHub's command line calls, as that has it.
const service = `
name: "ssh.proto" syntax: "proto3" package: "Codespaces.Grpc.SshServerHostService.v1"
message_type { name: "StartRemoteServerRequest" field { name: "UserPublicKey" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "StartRemoteServerResponse"
  field { name: "Result" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "ServerPort" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "User" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "Message" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL } }
`

// Request and Answer describe the messages of the service.
func Request() protoreflect.MessageDescriptor { return messages().ByName("StartRemoteServerRequest") }

// Answer is what Request gets.
func Answer() protoreflect.MessageDescriptor { return messages().ByName("StartRemoteServerResponse") }

var messages = sync.OnceValue(func() protoreflect.MessageDescriptors {
	described := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(service), described); err != nil {
		panic(err)
	}
	file, err := protodesc.NewFile(described, nil)
	if err != nil {
		panic(err)
	}
	return file.Messages()
})

// serveGRPC answers on one connection, until it is closed.
func (w *World) serveGRPC(id string, asked ssh.NewChannel) {
	channel, requests, err := asked.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return w.startSSH(id, stream) }))
	listener := &one{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	listener.conn <- last{codespaces.Stream{ReadWriteCloser: channel, By: "tunnel"}, listener}
	_ = server.Serve(listener)
	server.Stop()
}

// startSSH is the method.
func (w *World) startSSH(id string, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	shown, _ := metadata.FromIncomingContext(stream.Context())
	if method != "/Codespaces.Grpc.SshServerHostService.v1.SshServerHost/StartRemoteServerAsync" || len(shown.Get("authorization")) != 1 {
		return status.Error(codes.Unimplemented, method)
	}
	asked, told := dynamicpb.NewMessage(Request()), dynamicpb.NewMessage(Answer())
	if err := stream.RecvMsg(asked); err != nil {
		return err
	}
	given := asked.Get(Request().Fields().ByName("UserPublicKey")).String()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(given)) //nolint:dogsled // of the rest nothing is sent
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	user := w.User
	if user == "" {
		user = id
	}
	text := `Result: true ServerPort: "2222" User: "` + user + `" Message: "it listens"`
	if w.StartSSH != nil {
		if instead := w.StartSSH(key); instead != "" {
			text = instead
		}
	}
	if name, fails := strings.CutPrefix(text, "status "); fails {
		return status.Error(codes.Internal, name)
	}
	if err := prototext.Unmarshal([]byte(text), told); err != nil {
		panic(err)
	}
	return stream.SendMsg(proto.Message(told))
}

// last is the connection with which its listener is closed.
type last struct {
	net.Conn

	listener *one
}

func (l last) Close() error { return errors.Join(l.Conn.Close(), l.listener.Close()) }

// one is a listener for one connection, which is closed with that.
type one struct {
	conn   chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conn:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *one) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*one) Addr() net.Addr { return &net.TCPAddr{} }
