package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// oldestServer is the oldest PostgreSQL that is served: 14.0, the first that
// notices within a query that its client is gone.
const oldestServer = 140000

// connectTimeout is how long to wait for one connection, if the URL does not say.
const connectTimeout = 5 * time.Second

// writeLock is the number of the advisory lock that makes replicas write one
// after the other, as a file's writers do: what a fact read is still true when it
// writes, without a rule for each table. It is bound to the transaction, so that
// no end of a process or of a connection leaves it behind.
const writeLock = 0x706f7274 // "port"

var postgresDialect = dialect{
	name: "postgres", goose: goose.DialectPostgres, numbered: true, remembers: true,
	lockWrites: fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", writeLock),
	view:       &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	lost:       connectionLost,
}

// connectionLost is true of an error that is not the server's answer, and of the
// server's last words.
func connectionLost(err error) bool {
	var answer *pgconn.PgError
	switch {
	case errors.As(err, &answer):
		return strings.HasPrefix(answer.Code, "57P") || strings.HasPrefix(answer.Code, "08") // operator intervention, connection exception
	case errors.Is(err, sql.ErrNoRows), errors.Is(err, errNoWork):
		return false
	default:
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) || isNetworkError(err)
	}
}

func isNetworkError(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok
}

// sessionSettings hold for each connection: a process that is stopped, or whose
// machine is gone, in the middle of a transaction must not keep the write lock
// from the others for longer than they wait for it. What is acknowledged must be
// on the server's disk, also where the database's own default is another.
const sessionSettings = `
	SET application_name = 'portcullis';
	SET idle_in_transaction_session_timeout = '3s';
	SET lock_timeout = '8s';
	SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
	SELECT set_config('client_connection_check_interval', '1s', false) WHERE version() LIKE '%linux%';
	SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

func (s *Store) openServer(ctx context.Context, databaseURL string) error {
	config, err := serverConfig(databaseURL)
	if err != nil {
		return err
	}
	s.server = config
	settings := stdlib.OptionAfterConnect(applySessionSettings)
	s.writer = newDatabase(stdlib.OpenDB(*config, settings), postgresDialect)
	s.writer.SetMaxOpenConns(1)
	s.reader = newDatabase(stdlib.OpenDB(*config, settings), postgresDialect)
	s.reader.SetMaxOpenConns(2 * readers)
	s.reader.SetMaxIdleConns(2 * readers)
	return s.checkServer(ctx)
}

func applySessionSettings(ctx context.Context, connection *pgx.Conn) error {
	_, err := connection.PgConn().Exec(ctx, sessionSettings).ReadAll()
	return err
}

// serverConfig reads the URL. An error does not repeat it: it may hold a password.
func serverConfig(databaseURL string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, &OpenError{Problem: "the database url cannot be understood", Remedy: whichURL}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3,
	}}).DialContext
	return config, nil
}

// serverPlace names the server and the database, and nobody's name or password.
func serverPlace(databaseURL string) string {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return ""
	}
	host := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	if strings.HasPrefix(config.Host, "/") {
		host = config.Host
	}
	return config.Database + " on " + host
}

// maxSkew is how far this machine's clock and the server's may be apart. Leases
// end by the clock of whoever looks: two replicas that are further apart than a
// worker gives up before its lease ends would work on the same.
const maxSkew = 5 * time.Second

func (s *Store) checkServer(ctx context.Context) error {
	var version int
	var standby bool
	var serverClock float64
	asked := time.Now() //nolint:forbidigo // it is the machine's own clock that is compared
	err := s.reader.QueryRowContext(ctx, `
		SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), extract(epoch FROM clock_timestamp())::float8`).
		Scan(&version, &standby, &serverClock)
	skew := asked.Sub(time.UnixMilli(int64(serverClock * 1000))).Abs()
	switch {
	case err != nil:
		return err
	case skew > maxSkew+time.Since(asked):
		return &OpenError{
			Problem: fmt.Sprintf("this machine's clock and the server's are %s apart", skew.Round(time.Second)), Remedy: "let both follow a time server",
		}
	case version < oldestServer:
		return &OpenError{Problem: fmt.Sprintf("its PostgreSQL is version %d", version/10000), Remedy: "use version 14 or newer"}
	case standby:
		return &OpenError{Problem: "the server is a standby, which cannot be written", Remedy: "name the primary, or all servers and target_session_attrs=read-write"}
	}
	return nil
}

// explainServer puts what PostgreSQL, or the way to it, said into words, and
// reports whether it was one of them.
func (e *OpenError) explainServer(err error) bool {
	var refused *pgconn.PgError
	var unreachable *pgconn.ConnectError
	switch {
	case errors.As(err, &refused):
		e.Problem = oneLine(errors.New(refused.Message))
		switch {
		case strings.HasPrefix(refused.Code, "28"): // invalid authorization
			e.Remedy = "check the user and the password in the database url"
		case refused.Code == "3D000": // invalid catalog name
			e.Remedy = "create the database first"
		case refused.Code == "42501": // insufficient privilege
			e.Remedy = "let the user create tables: make it the database's owner"
		case refused.Code == "25006": // read-only transaction
			e.Remedy = "name the primary, or all servers and target_session_attrs=read-write"
		case refused.Code == "53300": // too many connections
			e.Remedy = "raise the server's max_connections; docs/operations.md says how many each replica needs"
		}
		return true
	case errors.As(err, &unreachable), errors.Is(err, context.DeadlineExceeded):
		e.Problem, e.Remedy = "the server cannot be reached: "+e.Problem, "check that it runs and that the database url names it"
		return true
	default:
		return false
	}
}
