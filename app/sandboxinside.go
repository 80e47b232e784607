package app

import (
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/portcullis-app/portcullis/sandbox/inside"
)

// insideCommands are what a sandbox's provider runs in it. Nobody else has a use for
// them.
func insideCommands(stdin io.Reader, stdio Stdio) []*cobra.Command {
	var deadline string
	var options inside.Options
	start := &cobra.Command{
		Use: inside.InitCommand[1], Hidden: true, Short: "Be PID 1 of a sandbox", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if options.Deadline, err = time.Parse(time.RFC3339Nano, deadline); err != nil {
				return err
			}
			options.Now = time.Now
			return inside.Init(cmd.Context(), options)
		},
	}
	start.Flags().StringVar(&deadline, "deadline", "", "when it ends")
	start.Flags().DurationVar(&options.Lifetime, "lifetime", 0, "how long it runs at most")
	start.Flags().StringVar(&options.Proxy, "proxy", "", "the socket of the way out")
	return []*cobra.Command{
		start,
		{
			Use: inside.RunCommand[1] + " TOKEN FOLDER PROCESSES ARGUMENT…", Hidden: true, Short: "Become a program", DisableFlagParsing: true, Args: cobra.MinimumNArgs(4),
			RunE: func(_ *cobra.Command, args []string) error {
				processes, err := strconv.ParseUint(args[2], 10, 16)
				if err != nil {
					return err
				}
				return exitCodeError(inside.Run(args[0], args[1], processes, args[3:], stdio.Err))
			},
		},
		{
			Use: inside.AttendCommand[1] + " TOKEN WORD…", Hidden: true, Short: "Run this program, and say that it ended well", DisableFlagParsing: true, Args: cobra.MinimumNArgs(2),
			RunE: func(_ *cobra.Command, args []string) error {
				return exitCodeError(inside.Attend(args[0], args[1:], stdio.Err))
			},
		},
		{
			Use: inside.KillCommand[1] + " TOKEN", Hidden: true, Short: "End everything in the sandbox but PID 1", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				if err := inside.Kill(); err != nil {
					return err
				}
				return inside.SayDone(args[0], stdio.Err)
			},
		},
		{
			Use: inside.InstallCommand[1] + " FILE", Hidden: true, Short: "Copy this program", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return inside.Install(args[0]) },
		},
		{
			Use: inside.UnpackCommand[1] + " FOLDER", Hidden: true, Short: "Unpack a tar archive", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return inside.Unpack(args[0], stdin) },
		},
		{
			Use: inside.PackCommand[1] + " PATH", Hidden: true, Short: "Pack a tar archive", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return inside.Pack(args[0], stdio.Out) },
		},
	}
}
