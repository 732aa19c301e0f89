/* Functions that fail the build where they are used: included by every .c file through the
 * compiler's command line. */
#ifndef HC_BASE_BANNED_H
#define HC_BASE_BANNED_H
#if defined(__GNUC__) && !defined(HC_ALLOW_BANNED)
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* With _FORTIFY_SOURCE and clang these are macros, which may not be poisoned. */
#undef sprintf
#undef vsprintf
#undef strcpy
#undef strcat
#pragma GCC poison gets strcpy strcat sprintf vsprintf strtok atoi atol atof system popen tmpnam   \
    tempnam mktemp
#endif
#endif
