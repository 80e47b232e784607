// Package app is the process and the command line. [Main] runs a subcommand;
// [App] is the server as a value: New wires it, Start returns at once, Stop
// waits, and a test can run two of them beside each other.
//
// This is the only package that knows every other one. It holds no rule about
// pull requests: it decides what runs when, and what a failure does to the work
// (it comes back later) and to the process (it ends with one clear line).
package app
