package codespaces

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"regexp"
	"time"

	"github.com/portcullis-app/portcullis/sandbox"
)

// marks are what a sandbox's display name carries. GitHub lets one have 48 characters and
// nothing else of ours: the id's own twelve come first, so that people find them, and the
// rest is packed into 27 bytes as Base64 for URLs:
//
//	20  the commit
//	3   the pull request's number
//	4   14 bits of the App, 1 of whether an agent took part, 17 of how long it runs, in seconds
type marks struct {
	ID      string
	HeadSHA string
	Number  int
	Agents  bool
	// Lifetime is counted from when GitHub says that it was created: one clock is enough.
	Lifetime time.Duration
}

const (
	idPrefix    = "pc-"
	idSize      = 12
	packedSize  = 27
	shaSize     = 20
	numberBits  = 24
	agentsBit   = 1 << secondsBits
	secondsBits = 17
	tagShift    = secondsBits + 1
	tagBits     = 14
)

var (
	ownID   = regexp.MustCompile(`^pc-[a-z0-9]{12}$`)
	fullSHA = regexp.MustCompile(`^[0-9a-f]{40}$`)
	packing = base64.RawURLEncoding.Strict()
)

// marksOf is an error for what a name has no room for.
func marksOf(spec sandbox.Spec) (marks, error) {
	life := spec.Constraints.Lifetime()
	switch {
	case !ownID.MatchString(spec.ID):
		return marks{}, &sandbox.InvalidError{Field: "id", Why: "must be pc- and twelve of a-z and 0-9 for a codespace"}
	case !fullSHA.MatchString(spec.HeadSHA):
		return marks{}, &sandbox.InvalidError{Field: "head", Why: "must be the 40 digits of a commit"}
	case spec.For.Number < 1 || spec.For.Number >= 1<<numberBits:
		return marks{}, &sandbox.InvalidError{Field: "pull request", Why: "must be there: a codespace is created on one"}
	case life%time.Second != 0:
		return marks{}, unsupported("timeout", "it is counted in whole seconds")
	}
	return marks{spec.ID, spec.HeadSHA, spec.For.Number, spec.For.Agents, life}, nil
}

// tag tells Apps in one organization apart.
func tag(app int64) uint32 {
	sum := fnv.New32a()
	_ = binary.Write(sum, binary.BigEndian, app)
	return sum.Sum32() >> (32 - tagBits)
}

// displayName is the name for a sandbox of the App.
func (m marks) displayName(app int64) string {
	packed := make([]byte, 0, packedSize+1)
	sha, _ := hex.DecodeString(m.HeadSHA) // marksOf has seen it
	packed = append(packed, sha...)
	packed = append(packed, byte(m.Number>>16), byte(m.Number>>8), byte(m.Number)) //nolint:gosec // marksOf has seen that it fits
	last := tag(app)<<tagShift | uint32(m.Lifetime/time.Second)                    //nolint:gosec // no longer than sandbox.MaxTimeout
	if m.Agents {
		last |= agentsBit
	}
	return m.ID[len(idPrefix):] + packing.EncodeToString(binary.BigEndian.AppendUint32(packed, last))
}

// readName reads what displayName wrote; ours is false for a name of anybody else's.
func readName(name string, app int64) (m marks, ours bool) {
	if len(name) != idSize+packing.EncodedLen(packedSize) || !ownID.MatchString(idPrefix+name[:idSize]) {
		return marks{}, false
	}
	packed, err := packing.DecodeString(name[idSize:])
	if err != nil || len(packed) != packedSize { // the decoder leaves out ends of lines
		return marks{}, false
	}
	last := binary.BigEndian.Uint32(packed[packedSize-4:])
	number := packed[shaSize : packedSize-4]
	m = marks{
		ID: idPrefix + name[:idSize], HeadSHA: hex.EncodeToString(packed[:shaSize]),
		Number: int(number[0])<<16 | int(number[1])<<8 | int(number[2]),
		Agents: last&agentsBit != 0, Lifetime: time.Duration(last&(agentsBit-1)) * time.Second,
	}
	return m, last>>tagShift == tag(app) && m.Number > 0 && m.Lifetime > 0
}
