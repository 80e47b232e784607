// Package githubapi is the only package that calls GitHub. It speaks to each
// installation through go-githubapp's clients (installation tokens by
// ghinstallation, conditional requests by httpcache) and answers in the types of
// package policy, so that [Client] fits the interfaces that gate and handlers
// declare without importing them.
//
// It tells "no" from "not known": a method answers "none" or "not a member" only
// when GitHub certainly said so, and returns an [*Error] in every other case. A
// 404 is taken for an absence only after a second call has shown that the App
// can see the place at all.
package githubapi
