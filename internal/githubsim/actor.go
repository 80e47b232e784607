package githubsim

// actor is who does something: nobody, a user, or an App's installation through its bot. The zero actor is nobody.
type actor struct {
	user  *User  // the account that acts; an installation's is the App's bot
	app   *App   // set for an installation, and for an App itself
	token *token // the token used, if any
	jwt   bool   // the App itself, by its JWT
}

func (a actor) login() string {
	if a.user == nil {
		return "anonymous"
	}
	return a.user.login
}

// roleOf is what the actor may do in the repository. What an installation may do is decided by its permissions, which are
// checked before; where its token reaches, it counts as a writer, never as an admin.
func (r *Repository) roleOf(a actor) role {
	if a.token != nil && a.token.install != nil {
		if a.token.covers(r) {
			return roleWrite
		}
		return r.publicRole()
	}
	return r.role(a.user)
}
