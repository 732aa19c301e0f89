#include <stdio.h>

#include "authority/key_pem.h"
#include "cli/ca_folder.h"

typedef struct encrypt_args {
    hc_ca_args ca;
    char *new_file;
} encrypt_args;

#define AT(member)                                                                                 \
    .offset = offsetof(encrypt_args, member), .size = sizeof(((encrypt_args *)0)->member)

static const hc_option table[] = {
    {.name = "new-passphrase-file",
     .type = HC_OPTION_TEXT,
     AT(new_file),
     .value = "FILE",
     .help = "The passphrase from now on: the one line of this file, which its owner alone may "
             "read."},
    HC_CA_OPTIONS,
};

static hc_options options(void)
{
    return (hc_options){table, HC_COUNT(table)};
}

typedef struct change {
    const hc_ca_folder *folder;
    hc_secret passphrase; /* the new one */
    json_t *changed;
    hc_err *err;
} change;

static int replace(const change *c, const char *name, EVP_PKEY *key)
{
    BIO *pem = NULL;
    char *at = NULL;
    int rc = hc_key_to_pem(key, hc_secret_slice(&c->passphrase), &pem, c->err);
    if (rc == 0) {
        long size = BIO_get_mem_data(pem, &at);
        rc = hc_keystore_replace(&c->folder->store, name, hc_slice_of(at, (size_t)size), true,
                                 c->err);
    }
    BIO_free(pem);
    if (rc == 0)
        (void)json_array_append_new(c->changed, json_string(name));
    return rc;
}

/* One that the new passphrase opens was changed by a run that was killed; it is written again. */
static int on_ca(void *arg, const hc_ca_entry *entry)
{
    const change *c = arg;
    const hc_keystore *store = &c->folder->store;
    EVP_PKEY *key = NULL;
    char name[64];
    if (!entry->has_key)
        return 0;
    (void)snprintf(name, sizeof(name), "%s.key", entry->stem);
    int rc = hc_keystore_read_key(store, name, hc_secret_slice(&c->passphrase), &key, NULL);
    if (rc != 0)
        rc = hc_keystore_read_key(store, name, hc_secret_slice(&c->folder->passphrase), &key,
                                  c->err);
    if (rc == 0)
        rc = replace(c, name, key);
    EVP_PKEY_free(key);
    return rc;
}

static int print_outcome(const encrypt_args *a, const json_t *changed)
{
    size_t i;
    json_t *name;
    if (a->ca.common.json)
        return hc_print_json(json_pack("{s:O}", "encrypted", changed));
    json_array_foreach(changed, i, name)(void) printf("encrypted %s\n", json_string_value(name));
    return HC_EXIT_DONE;
}

static int encrypt(void *args, hc_err *err)
{
    const encrypt_args *a = args;
    hc_ca_folder f;
    change c = {.folder = &f, .err = err};
    if (!a->new_file)
        return hc_err_set(err, HC_EINVAL,
                          "with what? handclasp ca encrypt --new-passphrase-file FILE");
    int rc = hc_passphrase_read(a->new_file, &c.passphrase, err);
    if (rc == 0 && (rc = hc_ca_folder_open(&a->ca, &f, err)) == 0) {
        c.changed = json_array();
        rc = hc_ca_each(&f.store, on_ca, &c, err);
        if (rc == 0 && json_array_size(c.changed) == 0)
            rc = hc_err_set(err, HC_ENOENT, "there is no key of a CA in %s/ca", f.store.path);
        if (rc == 0)
            rc = print_outcome(a, c.changed);
        json_decref(c.changed);
        hc_ca_folder_close(&f);
    }
    hc_secret_done(&c.passphrase);
    return rc;
}

const hc_command hc_cmd_ca_encrypt = {
    .name = "ca encrypt",
    .synopsis = "[OPTION]... --new-passphrase-file FILE",
    .summary = "encrypt the CA's key, or change its passphrase",
    .about =
        "Encrypts ca/ca.key, and the keys of CAs before it, with a passphrase (PKCS#8, scrypt, "
        "AES-256); keys that are encrypted already get this one, and --ca-passphrase-file opens "
        "them. Each file is replaced in one step; copies elsewhere, and what the disk has not "
        "overwritten yet, are not touched. A run that was killed is finished by the next one.\n\n"
        "From then on commands that sign, and a server that publishes revocation lists, need the "
        "passphrase: --ca-passphrase-file, ca-passphrase-file in handclasp.yaml, or the systemd "
        "credential handclasp-ca-passphrase.",
    .examples = "  (umask 077; openssl rand -base64 24 > ca.passphrase)\n"
                "  handclasp ca encrypt --new-passphrase-file ca.passphrase\n",
    .options = options,
    .run = hc_command_main,
    .act = encrypt,
    .args_size = sizeof(encrypt_args),
};
