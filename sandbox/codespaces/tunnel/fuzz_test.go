package tunnel_test

import (
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/tunnel"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/tunnel/tunneltest"
)

// FuzzStarted: whatever a codespace answers, what is made of it is a port and a name of a
// user, and is what Protocol Buffers' own library reads.
func FuzzStarted(f *testing.F) {
	for _, text := range []string{
		`Result: true ServerPort: "2222" User: "vscode" Message: "it listens"`, `Result: false Message: "no"`, `Result: true ServerPort: "0" User: "a"`, ``,
	} {
		message := dynamicpb.NewMessage(tunneltest.Answer())
		if err := prototext.Unmarshal([]byte(text), message); err != nil {
			f.Fatal(err)
		}
		data, err := proto.Marshal(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(append(data, 0x2a, 1, 'x')) // a field that nobody knows
		f.Add(append(data, data...))
	}
	f.Add([]byte{0x0a, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		port, user, err := tunnel.Started(data)
		if err != nil {
			return
		}
		if port == 0 || !codespaces.IsUserName(user) {
			t.Errorf("%d, %q", port, user)
		}
		message := dynamicpb.NewMessage(tunneltest.Answer())
		if proto.Unmarshal(data, message) != nil {
			return // it has a text that is none, of which nothing is made here
		}
		field := func(name string) string {
			return message.Get(tunneltest.Answer().Fields().ByName(protoreflect.Name(name))).String()
		}
		if said, err := strconv.ParseUint(field("ServerPort"), 10, 16); field("Result") != "true" || err != nil || uint16(said) != port || field("User") != user {
			t.Errorf("%d, %q, and it is %s", port, user, message)
		}
	})
}
