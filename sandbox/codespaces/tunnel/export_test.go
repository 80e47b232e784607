package tunnel

// Started reads the answer to the call that starts an SSH server.
func Started(data []byte) (port uint16, user string, err error) {
	answer := startAnswer{}
	if err := (codec{}).Unmarshal(data, &answer); err != nil {
		return 0, "", err
	}
	server, err := answer.server()
	return server.port, server.user, err
}
