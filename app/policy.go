package app

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/portcullis-app/portcullis/policy"
)

func policyCommand(stdio Stdio) *cobra.Command {
	command := &cobra.Command{Use: "policy", Short: "Work with policy files"}
	command.AddCommand(&cobra.Command{
		Use: "check FILE", Short: "Validate a policy file; every fault is told as file:line:column: message", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return checkPolicy(stdio, args[0]) },
	})
	command.AddCommand(explainCommand(stdio))
	return command
}

func checkPolicy(stdio Stdio, path string) error {
	content, err := os.ReadFile(path) //nolint:gosec // the path is the user's own
	if err != nil {
		return fmt.Errorf("read the policy: %w", err)
	}
	_, err = policy.ParsePolicyFile(path, content)
	if faults, ok := errors.AsType[policy.Faults](err); ok {
		for _, fault := range faults {
			_, _ = fmt.Fprintln(stdio.Out, fault)
		}
		return errReported
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdio.Out, "%s: ok\n", path)
	return err
}
