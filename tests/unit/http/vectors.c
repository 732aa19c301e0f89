#include "vectors.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/str.h"

static void die(const char *where, const char *what)
{
    fprintf(stderr, "%s: %s\n", where, what);
    abort();
}

static void add(hc_buf *b, hc_slice bytes)
{
    if (hc_buf_add(b, bytes) != 0)
        die("vectors", "out of memory");
}

static size_t unescape_one(hc_slice in, uint8_t *out)
{
    int high = in.size > 3 ? hc_hex_digit(in.at[2]) : -1;
    int low = in.size > 3 ? hc_hex_digit(in.at[3]) : -1;
    switch (in.size > 1 ? in.at[1] : '\0') {
    case 'r':
        *out = '\r';
        return 2;
    case 'n':
        *out = '\n';
        return 2;
    case 't':
        *out = '\t';
        return 2;
    case '0':
        *out = '\0';
        return 2;
    case '\\':
        *out = '\\';
        return 2;
    case 'x':
        if (high < 0 || low < 0)
            die("vectors", "\\x without two digits");
        *out = (uint8_t)(high << 4 | low);
        return 4;
    default:
        die("vectors", "unknown escape");
        return 0;
    }
}

static void add_unescaped(hc_buf *b, hc_slice in)
{
    while (in.size) {
        uint8_t byte = in.at[0];
        size_t size = byte == '\\' ? unescape_one(in, &byte) : 1;
        add(b, hc_slice_of(&byte, 1));
        in = hc_slice_from(in, size);
    }
}

static vector *add_vector(vectors *v, const char *name)
{
    v->at = realloc(v->at, (v->count + 1) * sizeof(*v->at));
    if (!v->at)
        die(name, "out of memory");
    vector *one = &v->at[v->count++];
    *one = (vector){
        .name = strdup(name),
        .limits = {HC_LIMIT_REQUEST_LINE_DEFAULT, HC_LIMIT_REQUEST_FIELDS_DEFAULT,
                   HC_LIMIT_REQUEST_FIELD_SIZE_DEFAULT, HC_LIMIT_REQUEST_BODY_DEFAULT},
        .input = hc_buf_init(SIZE_MAX),
        .expected = hc_buf_init(SIZE_MAX),
    };
    return one;
}

static void read_limits(hc_h1_limits *limits, const char *text)
{
    unsigned long long body;
    if (sscanf(text, "%zu %zu %zu %llu", &limits->request_line_bytes, &limits->fields,
               &limits->field_bytes, &body) != 4)
        die(text, "four limits are wanted");
    limits->body_bytes = body;
}

/* The text behind the mark and its one space. */
static const char *content(const char *line)
{
    return line[1] == ' ' ? line + 2 : line + 1;
}

static void read_line(vectors *v, const char *line)
{
    if (line[0] == '#' || line[0] == '\0')
        return;
    if (strncmp(line, "name ", 5) == 0) {
        (void)add_vector(v, line + 5);
        return;
    }
    if (v->count == 0)
        die(line, "before the first name");
    vector *one = &v->at[v->count - 1];
    if (strncmp(line, "limits ", 7) == 0) {
        read_limits(&one->limits, line + 7);
    } else if (line[0] == '|') {
        add_unescaped(&one->input, hc_slice_text(content(line)));
        add(&one->input, HC_SLICE_LITERAL("\r\n"));
    } else if (line[0] == '+') {
        add_unescaped(&one->input, hc_slice_text(content(line)));
    } else if (line[0] == '>') {
        add(&one->expected, hc_slice_text(content(line)));
        add(&one->expected, HC_SLICE_LITERAL("\n"));
    } else {
        die(line, "unknown line");
    }
}

static void read_file(vectors *v, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        die(path, "cannot be opened");
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        read_line(v, line);
    }
    free(line);
    fclose(file);
}

static int is_vector_file(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 4 && strcmp(entry->d_name + size - 4, ".txt") == 0;
}

vectors vectors_read(const char *folder)
{
    vectors v = {NULL, 0};
    struct dirent **entries;
    int count = scandir(folder, &entries, is_vector_file, alphasort);
    if (count <= 0)
        die(folder, "has no vectors");
    for (int i = 0; i < count; i++) {
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        read_file(&v, path);
        free(entries[i]);
    }
    free(entries);
    return v;
}

void vectors_free(vectors *v)
{
    for (size_t i = 0; i < v->count; i++) {
        free(v->at[i].name);
        hc_buf_done(&v->at[i].input);
        hc_buf_done(&v->at[i].expected);
    }
    free(v->at);
}
