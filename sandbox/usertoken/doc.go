// Package usertoken keeps the tokens with which the App acts for people.
package usertoken
