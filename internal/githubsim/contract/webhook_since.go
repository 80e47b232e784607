package contract

// addition is one property that GitHub sends and that the webhook schemas,
// which are closed and were last brought up to date in December 2024, do not know.
type addition struct {
	definition string
	path       []string // from the definition to the object that has it
	property   string
	schema     string
	reason     string // where GitHub documents it
}

var since = []addition{}
