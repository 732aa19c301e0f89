/* Compiler attributes that the rest of the code writes by name. */
#ifndef HC_BASE_ATTR_H
#define HC_BASE_ATTR_H

#if defined(__GNUC__)
#define HC_MUST_CHECK        __attribute__((warn_unused_result))
#define HC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define HC_NORETURN          __attribute__((noreturn))
#else
#define HC_MUST_CHECK
#define HC_PRINTF(fmt, args)
#define HC_NORETURN
#endif

#define HC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
