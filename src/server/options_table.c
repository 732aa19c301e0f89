/* The one table of options of `serve`. What stands here is the documentation: --help, the manual
 * page and the sample file are made from it. */
#include "base/limits.h"
#include "server/options_custom.h"

#define AT(member)                                                                                 \
    .offset = offsetof(hc_serve_args, member), .size = sizeof(((hc_serve_args *)0)->member)
#define IN(member)   AT(settings.member)
#define TEXT_OF(x)   #x
#define NUMBER_OF(x) TEXT_OF(x)

#define HOUR_MS ((uint64_t)3600 * 1000)
#define DAY_MS  (24 * HOUR_MS)

#define RELOADABLE HC_OPTION_RELOADABLE
#define REPEATABLE HC_OPTION_REPEATABLE
#define HIDDEN     HC_OPTION_HIDDEN
#define FLAG_ONLY  HC_OPTION_FLAG_ONLY
#define COMMAS     HC_OPTION_COMMAS
#define OTHERS     HC_OPTION_OTHERS
#define NO_VALUE   HC_OPTION_NO_VALUE

#define LIST_ITEMS_MAX 1000

static const hc_option_choice tls_policies[] = {
    {"intermediate", HC_TLS_INTERMEDIATE}, {"modern", HC_TLS_MODERN}, {NULL, 0}};
static const hc_option_choice refusals[] = {{"alert", false}, {"http", true}, {NULL, 0}};
static const hc_option_choice unknowns[] = {{"refuse", false}, {"admit", true}, {NULL, 0}};
static const hc_option_choice crl_checks[] = {{"chain", false}, {"leaf", true}, {NULL, 0}};
static const hc_option_choice publishing[] = {{"off", HC_PUBLISH_OFF},
                                              {"clients", HC_PUBLISH_CLIENTS},
                                              {"anyone", HC_PUBLISH_ANYONE},
                                              {NULL, 0}};
static const hc_option_choice log_formats[] = {{"text", false}, {"json", true}, {NULL, 0}};
static const hc_option_choice log_levels[] = {{"debug", HC_LOG_DEBUG},     {"info", HC_LOG_INFO},
                                              {"warning", HC_LOG_WARNING}, {"error", HC_LOG_ERROR},
                                              {"critical", HC_LOG_ERROR},  {NULL, 0}};

static const char general[] = "General";
static const char application[] = "Application";
static const char processes[] = "Sockets and processes";
static const char certificates[] = "Certificates";
static const char limits[] = "Limits";
static const char deadlines[] = "Deadlines";
static const char logging[] = "Log";

/* clang-format off */
static const hc_option table[] = {
    {.name = "app", .type = HC_OPTION_TEXT, .flags = HC_OPTION_POSITIONAL, IN(app), .value = "MODULE:APP",
     .section = application,
     .help = "The WSGI application: a module and the name of the application in it, or a call that makes one, as in "
             "\"shop:create_app()\". Without \":APP\", the name is \"application\" or \"app\"."},

    {.name = "config", .letter = 'c', .type = HC_OPTION_CUSTOM, .custom = &hc_option_config,
     .flags = HC_OPTION_NOT_IN_FILE, AT(config), .value = "FILE",
     .initial_help = "handclasp.yaml in the state folder, where there is one", .section = general,
     .help = "Read options from this YAML file. Flags and variables win over it."},
    {.name = "state", .type = HC_OPTION_TEXT, IN(state), .value = "DIR", .initial = ".handclasp", .section = general,
     .help = "The state folder that `handclasp init` makes: certificates and keys are taken from it where no option "
             "names them."},
    {.name = "check-config", .type = HC_OPTION_SWITCH, .flags = FLAG_ONLY, IN(check_config), .section = general,
     .help = "Check options, files and certificates, say what was found, and do not serve."},
    {.name = "json", .type = HC_OPTION_SWITCH, .flags = FLAG_ONLY, AT(json), .section = general,
     .help = "Answer and report errors as one JSON object."},
    {.name = "help", .letter = 'h', .type = HC_OPTION_SWITCH, .flags = FLAG_ONLY | HC_OPTION_STOPS, AT(help),
     .section = general, .help = "Say what the options are."},

    {.name = "chdir", .type = HC_OPTION_TEXT, IN(chdir), .value = "DIR", .initial_help = "the current folder",
     .section = application, .help = "Change to this folder before the application is loaded."},
    {.name = "pythonpath", .type = HC_OPTION_LIST, .flags = REPEATABLE | COMMAS, IN(pythonpath), .max = LIST_ITEMS_MAX,
     .value = "DIR,...", .section = application, .help = "Folders to put first in Python's search path."},
    {.name = "python", .type = HC_OPTION_TEXT, IN(python), .value = "FILE",
     .initial_help = "the active environment's", .section = application,
     .help = "The Python interpreter that runs the application."},
    {.name = "env", .letter = 'e', .type = HC_OPTION_CUSTOM, .custom = &hc_option_environment,
     .flags = REPEATABLE | RELOADABLE, .max = LIST_ITEMS_MAX, .value = "NAME=VALUE", .section = application,
     .help = "Set a variable in the application's environment."},
    {.name = "reload", .type = HC_OPTION_SWITCH, .initial = "false", IN(reload), .section = application,
     .help = "Restart the workers when a source file changes. For development."},
    {.name = "remote-user", .type = HC_OPTION_CUSTOM, .custom = &hc_option_remote_user, .flags = RELOADABLE,
     .value = "VARIABLE", .section = application,
     .help = "Take REMOTE_USER from this variable of the client's certificate, such as SSL_CLIENT_S_DN_CN. Only as good "
             "as the CAs: each of them can issue any name."},

    {.name = "bind", .letter = 'b', .type = HC_OPTION_LIST, .flags = REPEATABLE, IN(bind),
     .max = HC_LIMIT_LISTENERS, .value = "ADDRESS", .initial = "127.0.0.1:8443", .section = processes,
     .help = "Listen here: HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH or fd://NUMBER."},
    {.name = "backlog", .type = HC_OPTION_NUMBER, IN(backlog), .min = 1, .max = 65535, .value = "COUNT",
     .initial = "2048", .section = processes, .help = "Connections that may wait to be accepted."},
    {.name = "workers", .letter = 'w', .type = HC_OPTION_NUMBER, .flags = RELOADABLE, IN(workers), .min = 1,
     .max = HC_LIMIT_WORKERS, .value = "COUNT", .initial_help = "WEB_CONCURRENCY, or the number of cores",
     .section = processes, .help = "Processes that run the application."},
    {.name = "threads", .type = HC_OPTION_NUMBER, .flags = RELOADABLE, IN(threads), .min = 1,
     .max = HC_LIMIT_WORKER_THREADS, .value = "COUNT", .initial = "4", .section = processes,
     .help = "Threads of each worker; one request each at a time."},
    {.name = "front-threads", .type = HC_OPTION_NUMBER, IN(front_threads), .max = HC_LIMIT_FRONT_THREADS,
     .value = "COUNT", .initial = "0", .initial_help = "0: one per core", .section = processes,
     .help = "Threads that do TLS and HTTP."},
    {.name = "worker-connections", .type = HC_OPTION_NUMBER, .flags = RELOADABLE, IN(worker_connections), .min = 1,
     .max = 1000000, .value = "COUNT", .initial = NUMBER_OF(HC_LIMIT_CONNECTIONS_DEFAULT), .section = processes,
     .help = "Connections open at once, of the whole server. They need no worker while idle."},
    {.name = "max-requests", .type = HC_OPTION_NUMBER, .flags = RELOADABLE, IN(max_requests), .max = UINT32_MAX,
     .value = "COUNT", .initial = "0", .initial_help = "0: no end", .section = processes,
     .help = "Replace a worker after this many requests."},
    {.name = "max-requests-jitter", .type = HC_OPTION_NUMBER, .flags = RELOADABLE, IN(max_requests_jitter),
     .max = UINT32_MAX, .value = "COUNT", .initial = "0", .section = processes,
     .help = "Up to this many requests more, by chance, so that workers do not end together."},
    {.name = "user", .letter = 'u', .type = HC_OPTION_TEXT, IN(user), .value = "USER",
     .initial_help = "the user who starts the server", .section = processes,
     .help = "User of the workers. Needs a start as root."},
    {.name = "group", .letter = 'g', .type = HC_OPTION_TEXT, IN(group), .value = "GROUP",
     .initial_help = "the user's group", .section = processes, .help = "Group of the workers. Needs a start as root."},
    {.name = "front-user", .type = HC_OPTION_TEXT, IN(front_user), .value = "USER",
     .initial_help = "the user who starts the server", .section = processes,
     .help = "User of the front, which does TLS and HTTP and is given the key; not that of the workers. Needs a start as "
             "root."},
    {.name = "authority-user", .type = HC_OPTION_TEXT, IN(authority_user), .value = "USER",
     .initial_help = "the user who starts the server", .section = processes,
     .help = "User of the authority, which alone writes the registry for the others; the registry's file becomes this "
             "user's. Neither that of the workers nor that of the front. Needs a start as root."},
    {.name = "umask", .letter = 'm', .type = HC_OPTION_OCTAL, IN(umask), .max = 0777, .value = "MODE",
     .initial_help = "as inherited", .section = processes,
     .help = "Permissions that files made by workers do not get, in octal."},
    {.name = "pid", .alias = "pidfile", .letter = 'p', .type = HC_OPTION_TEXT, IN(pidfile), .value = "FILE",
     .section = processes, .help = "Write the supervisor's process number here."},
    {.name = "metrics-bind", .type = HC_OPTION_TEXT, IN(metrics_bind), .value = "ADDRESS", .initial_help = "none",
     .section = processes,
     .help = "Serve /healthz and /metrics (Prometheus) here over plain HTTP, to whoever asks. Loopback only: "
             "127.0.0.1:PORT or [::1]:PORT."},
    {.name = "control-socket", .type = HC_OPTION_TEXT, IN(control_socket), .value = "FILE",
     .initial_help = "run/control.sock in the state folder, where there is one", .section = processes,
     .help = "The socket by which `handclasp status` and `handclasp reload` find this server. Open to root and to the "
             "user who starts the server."},
    {.name = "worker-tmp-dir", .type = HC_OPTION_TEXT, .flags = RELOADABLE, IN(worker_tmp_dir), .value = "DIR",
     .initial_help = "TMPDIR, or /tmp", .section = processes,
     .help = "Folder for bodies of requests and responses that do not fit into memory."},
    {.name = "proxy-protocol", .type = HC_OPTION_SWITCH, .initial = "false", .flags = RELOADABLE, IN(proxy_protocol),
     .section = processes,
     .help = "Connections from --proxy-allow-from begin with a PROXY protocol header (version 1 or 2) that says who the "
             "client is."},
    {.name = "proxy-allow-from", .alias = "proxy-allow-ips", .type = HC_OPTION_CUSTOM, .custom = &hc_option_networks,
     .flags = REPEATABLE | COMMAS | RELOADABLE, .max = LIST_ITEMS_MAX, .value = "NETWORK,...",
     .initial = "127.0.0.1,::1", .section = processes,
     .help = "Who may send a PROXY protocol header: 10.0.0.0/8, ::1, unix, or * for anyone."},

    {.name = "certfile", .type = HC_OPTION_TEXT, .flags = RELOADABLE, IN(certfile), .value = "FILE",
     .initial_help = "server/server.pem in the state folder", .section = certificates,
     .help = "The server's certificate and the intermediate ones behind it, in PEM."},
    {.name = "keyfile", .type = HC_OPTION_TEXT, .flags = RELOADABLE, IN(keyfile), .value = "FILE",
     .initial_help = "server/server.key in the state folder, or --certfile where that is given",
     .section = certificates, .help = "The server's private key, in PEM."},
    {.name = "keyfile-passphrase-file", .type = HC_OPTION_TEXT, .flags = RELOADABLE, IN(keyfile_passphrase_file),
     .value = "FILE", .section = certificates, .help = "The passphrase of an encrypted key: the first line of this file."},
    {.name = "ca-certs", .type = HC_OPTION_LIST, .flags = REPEATABLE | RELOADABLE, IN(ca_certs),
     .max = LIST_ITEMS_MAX, .value = "FILE", .initial_help = "ca/ca.pem in the state folder", .section = certificates,
     .help = "CA certificates that clients' certificates must come from, in PEM. The system's CAs are never used."},
    {.name = "crl", .type = HC_OPTION_LIST, .flags = REPEATABLE | RELOADABLE, IN(crl), .max = HC_LIMIT_CRL_NUMBER,
     .value = "FILE|FOLDER", .section = certificates,
     .help = "Certificate revocation lists, in PEM or DER; of a folder all files named *.pem, *.crl or *.der. Where one is "
             "given, every CA needs a current one. `handclasp reload` reads them anew."},
    {.name = "crl-check", .type = HC_OPTION_CHOICE, .choices = crl_checks, .flags = RELOADABLE, IN(crl_leaf_only),
     .value = "chain|leaf", .initial = "chain", .section = certificates,
     .help = "What the lists are asked about: every certificate below the CA that ends the chain, or the client's alone."},
    {.name = "client-cert", .type = HC_OPTION_CUSTOM, .custom = &hc_option_client_cert,
     .flags = REPEATABLE | RELOADABLE, .value = "MODE|[METHOD ]/PATH=MODE", .initial = "required", .section = certificates,
     .help = "What is asked of clients: required; optional (none is fine, one that is sent must be good); request (the "
             "application decides); none. With a path, for requests below it: /healthz=none; with a method before the path, "
             "for that method: \"OPTIONS /api=none\"."},
    {.name = "cert-reqs", .writes = "client-cert", .type = HC_OPTION_CUSTOM, .custom = &hc_option_cert_reqs,
     .flags = REPEATABLE | RELOADABLE, .value = "0|1|2", .initial_help = "see --client-cert", .section = certificates,
     .help = "The same in the numbers of Python's ssl module: 0 none, 1 optional, 2 required."},
    {.name = "refuse-with", .type = HC_OPTION_CHOICE, .choices = refusals, .flags = RELOADABLE,
     IN(policy.refuse_with_http), .value = "alert|http", .initial = "alert", .section = certificates,
     .help = "How a client whose certificate does not verify is told: by a TLS alert, or by a 403 that can be read."},
    {.name = "registry", .type = HC_OPTION_CUSTOM, .custom = &hc_option_registry, .value = "none|sqlite:PATH",
     .initial = "none", .section = certificates,
     .help = "Where the clients' records are; PATH is relative to the state folder. `handclasp init` makes one and names it "
             "in handclasp.yaml. none: the CA alone decides."},
    {.name = "unknown", .type = HC_OPTION_CHOICE, .choices = unknowns, .flags = RELOADABLE, IN(admit_unknown),
     .value = "refuse|admit", .initial = "refuse", .section = certificates,
     .help = "What becomes of a client whose certificate verifies and is not in the registry: refused, or admitted as "
             "nobody known."},
    {.name = "registry-max-age", .type = HC_OPTION_DURATION, .flags = RELOADABLE, IN(registry_max_age_ms),
     .min = 1000, .max = DAY_MS, .value = "TIME", .initial = "10s", .section = certificates,
     .help = "Where the registry could not be read for this long, clients with a certificate get a 503 until it can."},
    {.name = "ca-passphrase-file", .type = HC_OPTION_TEXT, IN(ca_passphrase_file), .value = "FILE",
     .initial_help = "the systemd credential handclasp-ca-passphrase, where there is one", .section = certificates,
     .help = "The passphrase of the CA's key, ca/ca.key in the state folder, where it is encrypted: the one line of this "
             "file, which its owner alone may read. Only the authority's process gets key and passphrase."},
    {.name = "publish-crl", .type = HC_OPTION_CHOICE, .choices = publishing, .flags = RELOADABLE, IN(publish_crl),
     .value = "off|clients|anyone", .initial = "clients", .section = certificates,
     .help = "Who may fetch the revocation lists of the state folder's CAs below /.well-known/handclasp/crl/: whom "
             "--client-cert lets in, or anyone. anyone lets clients without a certificate complete the handshake, so that "
             "elsewhere they get a 403 instead of an alert."},
    {.name = "crl-days", .type = HC_OPTION_NUMBER, IN(crl_days), .min = 1, .max = 365, .value = "NUMBER",
     .initial = "7", .section = certificates,
     .help = "How long a revocation list of the state folder's CAs is good. The server makes the next one after half of it, "
             "and whenever a certificate is revoked."},
    {.name = "tls-policy", .type = HC_OPTION_CHOICE, .choices = tls_policies, .flags = RELOADABLE, IN(tls_policy),
     .value = "intermediate|modern", .initial = "intermediate", .section = certificates,
     .help = "Mozilla's recommendation to follow: TLS 1.2 and 1.3, or 1.3 alone."},
    {.name = "ciphers", .type = HC_OPTION_TEXT, .flags = RELOADABLE, IN(ciphers), .value = "LIST",
     .initial_help = "those of --tls-policy", .section = certificates,
     .help = "TLS 1.2 ciphers, in OpenSSL's notation."},
    {.name = "session-cache", .type = HC_OPTION_NUMBER, .flags = RELOADABLE, IN(session_cache), .max = 1000000,
     .value = "COUNT", .initial = NUMBER_OF(HC_LIMIT_SESSIONS_DEFAULT), .section = certificates,
     .help = "TLS sessions kept for resumption. 0: none."},
    {.name = "session-lifetime", .type = HC_OPTION_DURATION, .flags = RELOADABLE, IN(session_lifetime_ms),
     .min = 1000, .max = 7 * DAY_MS, .value = "TIME", .initial = "1d", .section = certificates,
     .help = "After this long a client makes a full handshake again."},

    {.name = "limit-request-line", .type = HC_OPTION_BYTES, .flags = RELOADABLE, IN(http.request_line_bytes),
     .min = 32, .max = HC_LIMIT_REQUEST_LINE_MAX, .value = "BYTES",
     .initial = NUMBER_OF(HC_LIMIT_REQUEST_LINE_DEFAULT), .section = limits,
     .help = "Length of a request's first line; 414 past it."},
    {.name = "limit-request-fields", .type = HC_OPTION_NUMBER, .flags = RELOADABLE, IN(http.fields), .min = 1,
     .max = HC_LIMIT_REQUEST_FIELDS_MAX, .value = "COUNT", .initial = NUMBER_OF(HC_LIMIT_REQUEST_FIELDS_DEFAULT),
     .section = limits, .help = "Header fields of a request; 431 past it."},
    {.name = "limit-request-field_size", .type = HC_OPTION_BYTES, .flags = RELOADABLE, IN(http.field_bytes),
     .min = 32, .max = HC_LIMIT_REQUEST_FIELD_SIZE_MAX, .value = "BYTES",
     .initial = NUMBER_OF(HC_LIMIT_REQUEST_FIELD_SIZE_DEFAULT), .section = limits,
     .help = "Length of one header field; 431 past it. Also with a dash for the underscore."},
    {.name = "limit-request-body", .type = HC_OPTION_BYTES, .flags = RELOADABLE, IN(http.body_bytes), .min = 0,
     .max = (uint64_t)1 << 50, .value = "BYTES", .initial = "1g", .section = limits,
     .help = "Length of a request's body; 413 past it."},

    {.name = "timeout", .letter = 't', .type = HC_OPTION_DURATION, .flags = RELOADABLE, IN(timeout_ms), .max = DAY_MS,
     .value = "TIME", .initial = "30s", .section = deadlines,
     .help = "A request that the application has not answered after this long gets a 503, and its worker is replaced. "
             "0: no bound."},
    {.name = "graceful-timeout", .type = HC_OPTION_DURATION, .flags = RELOADABLE, IN(graceful_timeout_ms),
     .max = DAY_MS, .value = "TIME", .initial = "30s", .section = deadlines,
     .help = "At a stop or restart, requests that run get this long."},
    {.name = "keep-alive", .type = HC_OPTION_DURATION, .flags = RELOADABLE, IN(keep_alive_ms), .max = DAY_MS,
     .value = "TIME", .initial = "65s", .section = deadlines,
     .help = "Close a connection that waits this long for its next request. Longer than gunicorn's 2 s, because a new "
             "connection costs a handshake."},
    {.name = "handshake-timeout", .type = HC_OPTION_DURATION, .flags = RELOADABLE, IN(handshake_timeout_ms),
     .min = 10, .max = HOUR_MS, .value = "TIME", .initial = "10s", .section = deadlines,
     .help = "From a connection's begin to the end of its TLS handshake."},
    {.name = "header-timeout", .type = HC_OPTION_DURATION, .flags = RELOADABLE, IN(header_timeout_ms), .min = 10,
     .max = HOUR_MS, .value = "TIME", .initial = "10s", .section = deadlines,
     .help = "From a request's first byte to the end of its header; 408 past it."},
    {.name = "body-timeout", .type = HC_OPTION_DURATION, .flags = RELOADABLE, IN(body_timeout_ms), .min = 10,
     .max = HOUR_MS, .value = "TIME", .initial = "30s", .section = deadlines,
     .help = "Between two pieces of a request's body; 408 past it."},
    {.name = "send-timeout", .type = HC_OPTION_DURATION, .flags = RELOADABLE, IN(send_timeout_ms), .min = 10,
     .max = HOUR_MS, .value = "TIME", .initial = "30s", .section = deadlines,
     .help = "Close a connection whose client takes nothing of a response for this long."},

    {.name = "log-level", .type = HC_OPTION_CHOICE, .choices = log_levels, .flags = RELOADABLE, IN(log_level),
     .value = "debug|info|warning|error|critical", .initial = "info", .section = logging,
     .help = "Leave out lines below this level."},
    {.name = "log-format", .type = HC_OPTION_CHOICE, .choices = log_formats, .flags = RELOADABLE, IN(log_json),
     .value = "text|json", .initial = "text", .section = logging, .help = "Form of the log's lines."},
    {.name = "error-logfile", .alias = "log-file", .type = HC_OPTION_TEXT, IN(error_logfile), .value = "FILE",
     .initial = "-", .initial_help = "-: standard error", .section = logging,
     .help = "The log: starts, stops, errors, and every refusal."},
    {.name = "access-logfile", .type = HC_OPTION_TEXT, IN(access_logfile), .value = "FILE", .initial_help = "none",
     .section = logging, .help = "A line for each request. -: standard output."},
    {.name = "access-logformat", .type = HC_OPTION_TEXT, .flags = RELOADABLE, IN(access_logformat), .value = "FORMAT",
     .initial = "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\" %(n)s %(v)s",
     .initial_help = "Apache's combined format, with the certificate's serial and the verdict", .section = logging,
     .help = "That line, in gunicorn's notation, or \"json\"."},

    {.name = "inherit-lanes", .type = HC_OPTION_CUSTOM, .custom = &hc_option_lanes,
     .flags = HIDDEN | FLAG_ONLY | REPEATABLE | COMMAS, .max = HC_LIMIT_WORKER_THREADS, .value = "FD,...",
     .help = "Lanes that the calling process serves itself."},
    {.name = "parent-fd", .type = HC_OPTION_CUSTOM, .custom = &hc_option_parent_fd, .flags = HIDDEN | FLAG_ONLY,
     .value = "FD", .help = "End when this descriptor does; told when requests are accepted."},

    {.name = "worker-class", .letter = 'k', .type = HC_OPTION_CUSTOM, .custom = &hc_option_worker_class,
     .flags = OTHERS, .value = "CLASS",
     .help = "sync and gthread mean what the workers are anyway; others are refused: an event loop serves the "
             "connections already."},
    {.name = "name", .letter = 'n', .type = HC_OPTION_IGNORED, .flags = OTHERS, .value = "NAME",
     .help = "processes are named by what they do"},
    {.name = "reuse-port", .type = HC_OPTION_IGNORED, .flags = OTHERS | NO_VALUE,
     .help = "the sockets are opened once, and every process that follows inherits them"},
    {.name = "no-sendfile", .type = HC_OPTION_IGNORED, .flags = OTHERS | NO_VALUE,
     .help = "a file is always sent by its descriptor, and TLS needs its bytes anyway"},
    {.name = "initgroups", .type = HC_OPTION_IGNORED, .flags = OTHERS | NO_VALUE,
     .help = "workers get exactly the groups of --user"},
    {.name = "capture-output", .type = HC_OPTION_IGNORED, .flags = OTHERS | NO_VALUE,
     .help = "what the application prints goes to standard error"},
    {.name = "enable-stdio-inheritance", .letter = 'R', .type = HC_OPTION_IGNORED, .flags = OTHERS | NO_VALUE,
     .help = "what the application prints goes to standard error"},
    {.name = "do-handshake-on-connect", .type = HC_OPTION_IGNORED, .flags = OTHERS | NO_VALUE,
     .help = "a handshake never holds up a worker"},
    {.name = "suppress-ragged-eofs", .type = HC_OPTION_IGNORED, .flags = OTHERS | NO_VALUE,
     .help = "a connection that ends without close_notify is closed, and a body cut short is never handed on"},
    {.name = "forwarded-allow-ips", .type = HC_OPTION_IGNORED, .flags = OTHERS, .value = "ADDRESSES",
     .help = "TLS ends here, so no header says who the client is"},
    {.name = "disable-redirect-access-to-syslog", .type = HC_OPTION_IGNORED, .flags = OTHERS | NO_VALUE,
     .help = "nothing goes to syslog"},
    {.name = "reload-engine", .type = HC_OPTION_IGNORED, .flags = OTHERS, .value = "ENGINE",
     .help = "--reload has one way to watch files"},
    {.name = "http-parser", .type = HC_OPTION_IGNORED, .flags = OTHERS, .value = "PARSER",
     .help = "there is one parser, and it is strict"},
    {.name = "permit-unconventional-http-method", .type = HC_OPTION_IGNORED, .flags = OTHERS | NO_VALUE,
     .help = "any method that is a token goes to the application"},
    {.name = "preload", .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "each worker loads the application itself, so that workers can be replaced without a stop; leave it out"},
    {.name = "daemon", .letter = 'D', .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "the server stays in the foreground; let systemd or a container start it"},
    {.name = "ssl-version", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "VERSION",
     .help = "use --tls-policy intermediate or modern"},
    {.name = "strip-header-spaces", .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "a header with a space before its colon is how requests are smuggled; it stays a 400"},
    {.name = "reload-extra-file", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "FILE",
     .help = "--reload watches the modules that are loaded, and nothing else"},
    {.name = "log-config", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "FILE",
     .help = "the server is not written in Python: use --log-level, --log-format and --error-logfile"},
    {.name = "log-syslog", .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "log to standard error and let systemd or the container's engine collect it"},
    {.name = "statsd-host", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "ADDRESS",
     .help = "there is no statsd client: --metrics-bind serves figures to Prometheus"},
    {.name = "paste", .alias = "paster", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "FILE",
     .help = "name the application as MODULE:APP"},
    {.name = "print-config", .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "use handclasp check-config --json"},
    {.name = "spew", .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE, .help = "leave it out"},
    {.name = "version", .letter = 'v', .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "use handclasp --version"},
    {.name = "paste-global", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "NAME=VALUE",
     .help = "name the application as MODULE:APP"},
    {.name = "log-config-json", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "FILE",
     .help = "the server is not written in Python: use --log-level, --log-format and --error-logfile"},
    {.name = "logger-class", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "CLASS",
     .help = "the server is not written in Python: use --log-level, --log-format and --error-logfile"},
    {.name = "log-syslog-to", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "ADDRESS",
     .help = "log to standard error and let systemd or the container's engine collect it"},
    {.name = "log-syslog-prefix", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "PREFIX",
     .help = "log to standard error and let systemd or the container's engine collect it"},
    {.name = "log-syslog-facility", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "FACILITY",
     .help = "log to standard error and let systemd or the container's engine collect it"},
    {.name = "statsd-prefix", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "PREFIX",
     .help = "there is no statsd client: --metrics-bind serves figures to Prometheus"},
    {.name = "dogstatsd-tags", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "TAGS",
     .help = "there is no statsd client: --metrics-bind serves figures to Prometheus"},
    {.name = "enable-backlog-metric", .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "there is no statsd client: --metrics-bind serves figures to Prometheus"},
    {.name = "control-socket-mode", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "MODE",
     .help = "the control socket is open to root and to the user who starts the server; leave it out"},
    {.name = "no-control-socket", .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "the control socket is open to root and to the user who starts the server; leave it out"},
    {.name = "permit-obsolete-folding", .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "a folded header is how requests are smuggled; it stays a 400"},
    {.name = "permit-unconventional-http-version", .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "only HTTP/1.0 and HTTP/1.1 are spoken"},
    {.name = "casefold-http-method", .type = HC_OPTION_REFUSED, .flags = OTHERS | NO_VALUE,
     .help = "methods are case-sensitive, RFC 9110 section 9.1; they stay as they came"},
    {.name = "header-map", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "WAY",
     .help = "a header whose name could be read as that of another is always dropped"},
    {.name = "forwarder-headers", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "NAMES",
     .help = "no header is taken for what the server itself knows"},
    {.name = "protocol", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "PROTOCOL",
     .help = "only HTTP is spoken"},
    {.name = "uwsgi-allow-from", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "ADDRESSES",
     .help = "only HTTP is spoken"},
    {.name = "http-protocols", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "LIST",
     .help = "HTTP/1.1 is what is spoken; leave it out"},
    {.name = "http2-cleartext", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "MODE",
     .help = "HTTP/1.1 is what is spoken; leave it out"},
    {.name = "http2-initial-window-size", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "BYTES",
     .help = "HTTP/1.1 is what is spoken; leave it out"},
    {.name = "http2-max-concurrent-streams", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "COUNT",
     .help = "HTTP/1.1 is what is spoken; leave it out"},
    {.name = "http2-max-frame-size", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "BYTES",
     .help = "HTTP/1.1 is what is spoken; leave it out"},
    {.name = "http2-max-header-list-size", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "BYTES",
     .help = "HTTP/1.1 is what is spoken; leave it out"},
    {.name = "asgi-loop", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "LOOP",
     .help = "the application is WSGI; leave it out"},
    {.name = "asgi-lifespan", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "MODE",
     .help = "the application is WSGI; leave it out"},
    {.name = "asgi-disconnect-grace-period", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "TIME",
     .help = "the application is WSGI; leave it out"},
    {.name = "root-path", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "PATH",
     .help = "the application is WSGI; leave it out"},
    {.name = "websocket-max-message-size", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "BYTES",
     .help = "WSGI has no WebSocket; leave it out"},
    {.name = "dirty-app", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "APP",
     .help = "there are no dirty workers; leave it out"},
    {.name = "dirty-workers", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "COUNT",
     .help = "there are no dirty workers; leave it out"},
    {.name = "dirty-threads", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "COUNT",
     .help = "there are no dirty workers; leave it out"},
    {.name = "dirty-timeout", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "TIME",
     .help = "there are no dirty workers; leave it out"},
    {.name = "dirty-graceful-timeout", .type = HC_OPTION_REFUSED, .flags = OTHERS, .value = "TIME",
     .help = "there are no dirty workers; leave it out"},
};
/* clang-format on */

hc_options hc_serve_options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}
