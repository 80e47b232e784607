package app

import (
	"os"

	"github.com/spf13/cobra"
)

func sandboxCommand(stdio Stdio) *cobra.Command {
	command := &cobra.Command{Use: "sandbox", Short: "List sandboxes and end them"}
	command.AddCommand(insideCommands(os.Stdin, stdio)...)
	return command
}
