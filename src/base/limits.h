/* Every limit of the program, by name. Where a user may need another value an option carries it,
 * and the name here is the option's default (…_DEFAULT) or its ceiling (…_MAX). */
#ifndef HC_BASE_LIMITS_H
#define HC_BASE_LIMITS_H

/* HTTP/1.1 (names of gunicorn's options where it has one) */
#define HC_LIMIT_REQUEST_LINE_DEFAULT   8190 /* --limit-request-line, bytes */
#define HC_LIMIT_REQUEST_LINE_MAX       65536
#define HC_LIMIT_REQUEST_FIELDS_DEFAULT 100 /* --limit-request-fields, count */
#define HC_LIMIT_REQUEST_FIELDS_MAX     1000
#define HC_LIMIT_REQUEST_FIELD_SIZE_DEFAULT                                                        \
    8190 /* --limit-request-field_size, bytes of one line                                          \
          */
#define HC_LIMIT_REQUEST_FIELD_SIZE_MAX 65536
#define HC_LIMIT_REQUEST_HEAD           131072        /* whole head, whatever the options say */
#define HC_LIMIT_REQUEST_BODY_DEFAULT   1073741824ULL /* --limit-request-body, bytes */
#define HC_LIMIT_CHUNK_LINE             4096          /* chunk size with extensions, bytes */
#define HC_LIMIT_TRAILERS               16384         /* all trailer lines together, bytes */
#define HC_LIMIT_BODY_MEMORY                                                                       \
    65536 /* of a request or response body; the rest is spooled to a file */
#define HC_LIMIT_RESPONSE_HEAD   262144 /* bytes of an application's status and headers */
#define HC_LIMIT_RESPONSE_FIELDS 1000
#define HC_LIMIT_SPOOL_BYTES     (4ULL << 30) /* of one response that a client is slow to take */
#define HC_LIMIT_RESPONSE_FILES  64           /* of one response, not yet sent */
#define HC_LIMIT_PIPELINE_BYTES  16384        /* read ahead while a request is being answered */

/* TLS and certificates */
#define HC_LIMIT_CERT_BYTES            65536  /* one certificate in DER */
#define HC_LIMIT_CERT_CHAIN            10     /* certificates a peer may send, leaf included */
#define HC_LIMIT_CERT_CHAIN_BYTES      100000 /* all of them: SSL_CTX_set_max_cert_list */
#define HC_LIMIT_CHAIN_DEPTH           8      /* intermediates in a verified chain */
#define HC_LIMIT_SERIAL_OCTETS         20     /* RFC 5280 section 4.1.2.2 */
#define HC_LIMIT_NAME_ATTRIBUTES       64     /* of one distinguished name */
#define HC_LIMIT_SANS                  256    /* subjectAltName entries of one certificate */
#define HC_LIMIT_PEM_FILE_BYTES        (64u << 20)
#define HC_LIMIT_CA_CERTS              4096 /* certificates in --ca-certs */
#define HC_LIMIT_CRL_ENTRIES           10000000u
#define HC_LIMIT_CRL_NUMBER            4096  /* CRLs in --crl */
#define HC_LIMIT_SESSIONS_DEFAULT      20000 /* --session-cache, entries */
#define HC_LIMIT_SESSION_BYTES_DEFAULT (256ULL << 20)
#define HC_LIMIT_VERDICT_CACHE         4096 /* chain verdicts kept, by SHA-256 */
#define HC_LIMIT_PASSPHRASE            1024 /* bytes */

/* The authority */
#define HC_LIMIT_CSR_BYTES         65536 /* one certification request, as it came */
#define HC_LIMIT_RSA_BITS          8192  /* of a key that asks to be certified */
#define HC_LIMIT_URI               2048  /* octets of one in a certificate; also SPIFFE's limit */
#define HC_LIMIT_PROFILES          64    /* in handclasp.yaml, ours included */
#define HC_LIMIT_PROFILE_NAME      32    /* octets */
#define HC_LIMIT_PROFILE_SUBJECT   256   /* octets of a subject template */
#define HC_LIMIT_OLD_CAS           64    /* kept beside the active one */
#define HC_LIMIT_PKCS12_BYTES      (1u << 20)
#define HC_LIMIT_PKCS12_ITERATIONS 2000000 /* of the MAC of a file that is read */

/* Records of clients */
#define HC_LIMIT_CLIENT_NAME           64    /* octets: also a CN (RFC 5280 ub-common-name) */
#define HC_LIMIT_ROLE                  64    /* octets of one role */
#define HC_LIMIT_ROLES                 64    /* of one client */
#define HC_LIMIT_CLIENT_ROLES          4160  /* octets of all of them with their spaces */
#define HC_LIMIT_CLIENT_ATTRIBUTES     16384 /* octets of JSON */
#define HC_LIMIT_REASON                256   /* octets of a person's words for a change */
#define HC_LIMIT_CLIENT_CERTIFICATES   1000  /* of one client */
#define HC_LIMIT_REGISTRY_CERTIFICATES 50000000u
#define HC_LIMIT_REGISTRY_ROW          (2 << 20)    /* octets of one row of a database */
#define HC_LIMIT_MATCHES               100          /* things that one word may mean */
#define HC_LIMIT_IMPORT_BYTES          (1ULL << 30) /* of one file of `client import` */
#define HC_LIMIT_CSV_ROW               65536u       /* octets of one row of it */
#define HC_LIMIT_CSV_FIELDS            64
#define HC_REGISTRY_POLL_MS            50    /* between two looks for changes */
#define HC_REGISTRY_MAX_AGE_MS_DEFAULT 10000 /* --registry-max-age */
#define HC_REGISTRY_SEEN_MS            2000  /* last-seen is written this often */
#define HC_LIMIT_SEEN                  65536 /* certificates of one batch of last-seen */
#define HC_LIMIT_ASK_BYTES             16384 /* what a view asks of the authority */
#define HC_LIMIT_ANSWER_BYTES          65536

/* Connections */
#define HC_LIMIT_CONNECTIONS_DEFAULT 10000 /* --worker-connections: open at once, whole server */
#define HC_LIMIT_PROXY_HEADER        4096  /* PROXY protocol v1 line or v2 block */
#define HC_LIMIT_DRAIN_BYTES                                                                       \
    1048576 /* read and dropped after an alert or a refusal, before close */
#define HC_LIMIT_DRAIN_MS        1000
#define HC_LIMIT_READS_A_TURN    32 /* TLS records of one client before others have their turn */
#define HC_LIMIT_REQUESTS_A_TURN 32 /* that one client sent at once and that need no worker */
#define HC_LIMIT_SENT_A_TURN     262144 /* of one response before other connections have their turn */
#define HC_LIMIT_UNSENT_BYTES    131072 /* of a response, that the kernel holds for a slow client */

/* Lanes */
#define HC_LIMIT_LANE_FRAME       1048576 /* payload bytes of one frame */
#define HC_LIMIT_LANE_CERT_SLOTS  64      /* certificates a worker thread remembers */
#define HC_LIMIT_LANES            4096    /* whole server */
#define HC_LIMIT_WAITING_REQUESTS 4096    /* complete requests waiting for a lane, a thread */

/* Everything else */
#define HC_LIMIT_LOG_LINE       8192
#define HC_LIMIT_LOG_WAIT_MS    200 /* for the reader of an access log that is a pipe */
#define HC_LIMIT_CONFIG_BYTES   1048576
#define HC_LIMIT_PATH_RULES     256
#define HC_LIMIT_RULE_METHOD    15 /* octets of a method that a path rule names */
#define HC_LIMIT_LISTENERS      64
#define HC_LIMIT_FRONT_THREADS  64
#define HC_LIMIT_WORKERS        256
#define HC_LIMIT_WORKER_THREADS 256

#endif
