package githubsim

// actor is who does something: nobody, a user, or an App's installation through its bot. The zero actor is nobody.
type actor struct {
	user   *User  // the account that acts; an installation's is the App's bot
	app    *App   // set for an installation, and for an App itself
	via    *App   // through which a user acts, with a user access token
	token  *token // the token used, if any
	jwt    bool   // the App itself, by its JWT
	client bool   // the App itself, by its client secret
}

func (a actor) login() string {
	if a.user == nil {
		return "anonymous"
	}
	return a.user.login
}

// through is the App that had a hand in it, or nil.
func (a actor) through() *App {
	if a.app != nil {
		return a.app
	}
	return a.via
}

// roleOf is what the actor may do in the repository. What an App may do is decided by its permissions, which are checked before; where
// its installation's token reaches, that counts as a writer, never as an admin. A user through an App is what they are themselves, and
// outside of the App's installations what everybody is.
func (r *Repository) roleOf(a actor) role {
	switch {
	case a.token == nil || !a.token.limited():
		return r.role(a.user)
	case !a.token.covers(r):
		return min(r.publicRole(), r.role(a.user))
	case a.token.install != nil:
		return roleWrite
	}
	return r.role(a.user)
}
