// Package web is people's and programs' door: pages about what Portcullis does, the same
// as JSON, whether a credential is valid, and credentials for jobs that show an id-token.
// GitHub has a door of its own, package handlers. It decides nothing.
//
// Nobody signs in to its pages yet. So what they show tells nothing about anybody: no
// organization, no repository and no person by name.
package web
