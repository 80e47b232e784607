//go:build !linux

package main

var (
	acts     = map[string]func(argv []string) int{}
	attempts = map[string]func(argv []string) error{}
)
