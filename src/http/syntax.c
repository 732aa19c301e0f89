#include "http/syntax.h"

#define TOKEN  HC_CHAR_TOKEN
#define VALUE  HC_CHAR_VALUE
#define TARGET HC_CHAR_TARGET
#define HOST   HC_CHAR_HOST

const uint8_t hc_chars[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = TOKEN | VALUE | TARGET,
    ['"'] = VALUE | TARGET,
    ['#'] = TOKEN | VALUE,
    ['$' ... '\''] = TOKEN | VALUE | TARGET,
    ['(' ... ')'] = VALUE | TARGET,
    ['*' ... '+'] = TOKEN | VALUE | TARGET,
    [','] = VALUE | TARGET,
    ['-' ... '.'] = TOKEN | VALUE | TARGET | HOST,
    ['/'] = VALUE | TARGET,
    ['0' ... '9'] = TOKEN | VALUE | TARGET | HOST,
    [':' ... '@'] = VALUE | TARGET,
    ['A' ... 'Z'] = TOKEN | VALUE | TARGET | HOST,
    ['[' ... ']'] = VALUE | TARGET,
    ['^'] = TOKEN | VALUE | TARGET,
    ['_'] = TOKEN | VALUE | TARGET | HOST,
    ['`'] = TOKEN | VALUE | TARGET,
    ['a' ... 'z'] = TOKEN | VALUE | TARGET | HOST,
    ['{'] = VALUE | TARGET,
    ['|'] = TOKEN | VALUE | TARGET,
    ['}'] = VALUE | TARGET,
    ['~'] = TOKEN | VALUE | TARGET,
    [0x80 ... 0xff] = VALUE,
};

bool hc_list_next(hc_slice *list, hc_slice *member)
{
    if (!list->at)
        return false;
    ptrdiff_t comma = hc_slice_find(*list, ',');
    if (comma < 0) {
        *member = hc_slice_trim(*list);
        *list = HC_SLICE_NONE;
        return true;
    }
    *member = hc_slice_trim(hc_slice_of(list->at, (size_t)comma));
    *list = hc_slice_from(*list, (size_t)comma + 1);
    return true;
}

bool hc_list_has(hc_slice list, const char *token)
{
    hc_slice member;
    while (hc_list_next(&list, &member)) {
        if (hc_slice_equal_nocase(member, hc_slice_text(token)))
            return true;
    }
    return false;
}

bool hc_slice_starts_with_nocase(hc_slice in, const char *prefix)
{
    hc_slice wanted = hc_slice_text(prefix);
    return in.size >= wanted.size && hc_slice_equal_nocase(hc_slice_of(in.at, wanted.size), wanted);
}
