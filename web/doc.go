// Package web is people's door: pages about what Portcullis does, and the same as
// JSON. It decides nothing and changes nothing.
//
// Nobody signs in here yet. So what it shows tells nothing about anybody: no
// organization, no repository and no person by name.
package web
