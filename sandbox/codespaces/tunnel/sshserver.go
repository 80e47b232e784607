package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/portcullis-app/portcullis/sandbox/codespaces"
)

const (
	// internalPort is where a codespace answers to gRPC.
	internalPort = 16634
	startMethod  = "/Codespaces.Grpc.SshServerHostService.v1.SshServerHost/StartRemoteServerAsync"
	// maxMessage is how long its answer may be.
	maxMessage = 64 << 10
)

// sshServer is where the SSH server of a codespace is, and whom it lets in.
type sshServer struct {
	port uint16
	user string
}

// startSSHServer has it started, if it does not run, and let the key in. It closes conn.
func startSSHServer(ctx context.Context, conn net.Conn, key ssh.PublicKey) (_ sshServer, err error) {
	var taken atomic.Bool
	client, err := grpc.NewClient("passthrough:///codespace",
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the tunnel is encrypted
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if taken.Swap(true) {
				return nil, errors.New("its connection is over")
			}
			return conn, nil
		}),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{}), grpc.MaxCallRecvMsgSize(maxMessage)),
	)
	if err != nil {
		return sshServer{}, errors.Join(err, conn.Close())
	}
	defer func() {
		_, _ = client.Close(), conn.Close() // what they say is of no use to anybody
	}()
	request, answer := startRequest{key: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))}, startAnswer{}
	// A codespace wants a token, of which it makes no use.
	ctx = metadata.AppendToOutgoingContext(ctx, "Authorization", "Bearer token")
	if err := client.Invoke(ctx, startMethod, &request, &answer); err != nil {
		return sshServer{}, err
	}
	return answer.server()
}

// startRequest is the message StartRemoteServerRequest.
type startRequest struct{ key string } // UserPublicKey, 1

// startAnswer is the message StartRemoteServerResponse.
type startAnswer struct {
	result  bool   // Result, 1
	port    string // ServerPort, 2
	user    string // User, 3
	message string // Message, 4
}

// server is what the answer says. Whatever is in the codespace may have written it.
func (a startAnswer) server() (sshServer, error) {
	port, err := strconv.ParseUint(a.port, 10, 16)
	switch {
	case !a.result:
		return sshServer{}, fmt.Errorf("the codespace says %.200q", a.message)
	case err != nil || port == 0:
		return sshServer{}, fmt.Errorf("the codespace says that it is at port %.20q", a.port)
	case !codespaces.IsUserName(a.user):
		return sshServer{}, fmt.Errorf("the codespace says that it lets %.80q in, which is no name of a user", a.user)
	}
	return sshServer{uint16(port), a.user}, nil
}

// codec is Protocol Buffers for the two messages.
type codec struct{}

// Name is that of the content type.
func (codec) Name() string { return "proto" }

// Marshal takes a *startRequest.
func (codec) Marshal(message any) ([]byte, error) {
	request, is := message.(*startRequest)
	if !is {
		return nil, fmt.Errorf("%T is not sent", message)
	}
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), request.key), nil
}

// Unmarshal takes a *startAnswer. Fields that it does not know it leaves out.
func (codec) Unmarshal(data []byte, message any) error {
	answer, is := message.(*startAnswer)
	if !is {
		return fmt.Errorf("%T is not received", message)
	}
	texts := map[protowire.Number]*string{2: &answer.port, 3: &answer.user, 4: &answer.message}
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		switch text := texts[field]; {
		case field == 1 && kind == protowire.VarintType:
			var result uint64
			result, n = protowire.ConsumeVarint(data)
			answer.result = protowire.DecodeBool(result)
		case text != nil && kind == protowire.BytesType:
			*text, n = protowire.ConsumeString(data)
		default:
			n = protowire.ConsumeFieldValue(field, kind, data)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
	}
	return nil
}
