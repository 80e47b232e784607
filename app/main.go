package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Stdio is where a command reads and writes.
type Stdio struct {
	Out io.Writer
	Err io.Writer
}

// The exit codes of the program.
const (
	exitOK    = 0
	exitError = 1
)

// Main runs the command line and returns the exit code. ctx ends on a signal.
// Errors are told on standard error, one line each.
func Main(ctx context.Context, args []string, stdio Stdio) int {
	root := &cobra.Command{
		Use:   "portcullis",
		Short: "Holds pull requests until the review they need has happened",
		Long: "Portcullis is a GitHub App. It classifies each pull request into an approval tier,\n" +
			"posts the required check, and opens it once the right people have approved.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdio.Out)
	root.SetErr(stdio.Err)
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(serveCommand(stdio), demoCommand(stdio), policyCommand(stdio), killswitchCommand(stdio), credentialsCommand(stdio), sandboxCommand(stdio), authorizationCommand(stdio), doctorCommand(stdio), versionCommand(stdio))
	if err := root.ExecuteContext(ctx); err != nil {
		if code, is := errors.AsType[exitCodeError](err); is {
			return int(code)
		}
		if !errors.Is(err, errReported) {
			_, _ = fmt.Fprintln(stdio.Err, "portcullis:", err)
		}
		return exitError
	}
	return exitOK
}

// errReported ends a command whose output has said already what is wrong.
var errReported = errors.New("reported")

// exitCodeError ends a command with an exit code of its own, and nothing more to say.
type exitCodeError int

func (e exitCodeError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Version is the module's version, or the commit it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && info.Main.Version == "(devel)" {
			return "devel-" + setting.Value
		}
	}
	return info.Main.Version
}

func versionCommand(stdio Stdio) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(stdio.Out, "portcullis", Version())
			return err
		},
	}
}
