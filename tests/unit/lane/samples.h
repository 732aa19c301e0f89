/* One frame of each kind with something in every member, for the tests of lane/. */
#ifndef HC_TESTS_UNIT_LANE_SAMPLES_H
#define HC_TESTS_UNIT_LANE_SAMPLES_H

#include "lane/frame.h"
#include "unit.h"

static const hc_pair sample_pairs[] = {
    {S("Host"), S("localhost:8443")},
    {S("X-Empty"), {NULL, 0}},
    {S("X-Octets"), S("\xc3\xa4\x00\xff")},
};

static const hc_slice sample_chain[] = {S("issuer"), S("issuer's issuer")};

static inline hc_lane_cert sample_cert(void)
{
    return (hc_lane_cert){.slot = 63,
                          .variables = sample_pairs,
                          .variable_count = HC_COUNT(sample_pairs),
                          .der = S("leaf"),
                          .chain = sample_chain,
                          .chain_count = HC_COUNT(sample_chain)};
}

static inline hc_lane_client sample_client(void)
{
    return (hc_lane_client){.slot = 63,
                            .known = true,
                            .name = S("alice"),
                            .roles = S("meter reader"),
                            .attributes = S("{\"room\":7}")};
}

static inline hc_lane_server sample_server(void)
{
    return (hc_lane_server){.variables = sample_pairs,
                            .variable_count = HC_COUNT(sample_pairs),
                            .multiprocess = true,
                            .multithread = false};
}

static inline hc_lane_request sample_request(void)
{
    return (hc_lane_request){.connection = 0x0102030405060708u,
                             .body_size = 5,
                             .days_left = -3,
                             .error = 10,
                             .depth = 2,
                             .cipher_bits = 256,
                             .cipher_algorithm_bits = 128,
                             .remote_port = 40000,
                             .server_port = 8443,
                             .slot = 7,
                             .verdict = 5,
                             .http_minor = 1,
                             .body_kind = HC_LANE_BODY_INLINE,
                             .resumed = 1,
                             .verdict_name = S("expired"),
                             .verdict_detail = S("since yesterday"),
                             .client_verify = S("FAILED:certificate has expired"),
                             .remote_user = S("alice"),
                             .method = S("POST"),
                             .target = S("/a%20b?x=1"),
                             .path = S("/a b"),
                             .query = S("x=1"),
                             .host = S("localhost:8443"),
                             .remote_address = S("127.0.0.1"),
                             .server_address = S("127.0.0.2"),
                             .tls_protocol = S("TLSv1.3"),
                             .tls_cipher = S("TLS_AES_256_GCM_SHA384"),
                             .tls_session_id = S("00ff"),
                             .tls_sni = S("localhost"),
                             .headers = sample_pairs,
                             .header_count = HC_COUNT(sample_pairs),
                             .body = S("hello")};
}

static inline hc_lane_head sample_head(void)
{
    return (hc_lane_head){.status = 200,
                          .reason = S("OK"),
                          .headers = sample_pairs,
                          .header_count = HC_COUNT(sample_pairs)};
}

static inline hc_lane_refused sample_refused(void)
{
    return (hc_lane_refused){.verdict = S("no-certificate"), .reason = S("not today")};
}

#endif
