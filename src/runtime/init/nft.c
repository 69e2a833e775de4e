/* The redirect rules, in nf_tables' own terms (nft list ruleset):
 *
 *   table ip moat {
 *     chain output {
 *       type nat hook output priority -100; policy accept;
 *       udp dport 53 redirect to :DNS_UDP
 *       tcp dport 53 redirect to :DNS_TCP
 *       meta l4proto tcp ip daddr != 127.0.0.0/8 redirect to :TCP
 *     }
 *   }
 *
 * and the same for ip6 with ::1. A family of its own each, not `inet`: nat chains of that one came
 * with Linux 5.2 only. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>

#include "init.h"

enum {
  FAMILY_IPV4 = 2,  /* NFPROTO_IPV4; linux/netfilter.h does not go with netinet/in.h */
  FAMILY_IPV6 = 10, /* NFPROTO_IPV6 */
  HOOK_OUTPUT = 3,  /* NF_INET_LOCAL_OUT */
  PRIORITY_DNAT = -100,
  REGISTER = NFT_REG_1,
};

static const char table_name[] = "moat";
static const char chain_name[] = "output";

static void begin(struct batch* batch, unsigned type, unsigned flags, int family) {
  struct nfgenmsg header = {.nfgen_family = (uint8_t)family, .version = NFNETLINK_V0};
  batch_begin(batch, (NFNL_SUBSYS_NFTABLES << 8) | type, NLM_F_ACK | flags, &header, sizeof header);
}

static void mark(struct batch* batch, unsigned type) {
  struct nfgenmsg header = {
      .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
  batch_begin(batch, type, 0, &header, sizeof header);
  batch_end(batch);
}

struct expression {
  uint32_t element, data;
};

static struct expression expression_begin(struct batch* batch, const char* name) {
  struct expression made;
  made.element = batch_nest(batch, NFTA_LIST_ELEM);
  batch_string(batch, NFTA_EXPR_NAME, name);
  made.data = batch_nest(batch, NFTA_EXPR_DATA);
  return made;
}

static void expression_end(struct batch* batch, struct expression made) {
  batch_unnest(batch, made.data);
  batch_unnest(batch, made.element);
}

static void value(struct batch* batch, unsigned type, const void* data, size_t size) {
  uint32_t nest = batch_nest(batch, type);
  batch_attribute(batch, NFTA_DATA_VALUE, data, size);
  batch_unnest(batch, nest);
}

static void compare(struct batch* batch, uint32_t how, const void* data, size_t size) {
  struct expression made = expression_begin(batch, "cmp");
  batch_u32(batch, NFTA_CMP_SREG, REGISTER);
  batch_u32(batch, NFTA_CMP_OP, how);
  value(batch, NFTA_CMP_DATA, data, size);
  expression_end(batch, made);
}

static void load(struct batch* batch, uint32_t base, uint32_t offset, uint32_t size) {
  struct expression made = expression_begin(batch, "payload");
  batch_u32(batch, NFTA_PAYLOAD_DREG, REGISTER);
  batch_u32(batch, NFTA_PAYLOAD_BASE, base);
  batch_u32(batch, NFTA_PAYLOAD_OFFSET, offset);
  batch_u32(batch, NFTA_PAYLOAD_LEN, size);
  expression_end(batch, made);
}

static void match_protocol(struct batch* batch, uint8_t protocol) {
  struct expression made = expression_begin(batch, "meta");
  batch_u32(batch, NFTA_META_DREG, REGISTER);
  batch_u32(batch, NFTA_META_KEY, NFT_META_L4PROTO);
  expression_end(batch, made);
  compare(batch, NFT_CMP_EQ, &protocol, sizeof protocol);
}

static void match_port(struct batch* batch, uint16_t port) {
  port = htons(port);
  load(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof port);
  compare(batch, NFT_CMP_EQ, &port, sizeof port);
}

static void match_not_loopback(struct batch* batch, int family) {
  if (family == FAMILY_IPV6) {
    load(batch, NFT_PAYLOAD_NETWORK_HEADER, 24, sizeof in6addr_loopback);
    compare(batch, NFT_CMP_NEQ, &in6addr_loopback, sizeof in6addr_loopback);
    return;
  }
  load(batch, NFT_PAYLOAD_NETWORK_HEADER, 16, 1); /* 127.0.0.0/8 is its first byte */
  compare(batch, NFT_CMP_NEQ, &(uint8_t){127}, 1);
}

static void redirect(struct batch* batch, uint16_t port) {
  port = htons(port);
  struct expression made = expression_begin(batch, "immediate");
  batch_u32(batch, NFTA_IMMEDIATE_DREG, REGISTER);
  value(batch, NFTA_IMMEDIATE_DATA, &port, sizeof port);
  expression_end(batch, made);
  made = expression_begin(batch, "redir");
  batch_u32(batch, NFTA_REDIR_REG_PROTO_MIN, REGISTER);
  expression_end(batch, made);
}

/* `from` 0: any port of an address that is not loopback's; else that port of any address. */
static void rule(struct batch* batch, int family, uint8_t protocol, uint16_t from, uint16_t to) {
  begin(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, family);
  batch_string(batch, NFTA_RULE_TABLE, table_name);
  batch_string(batch, NFTA_RULE_CHAIN, chain_name);
  uint32_t expressions = batch_nest(batch, NFTA_RULE_EXPRESSIONS);
  match_protocol(batch, protocol);
  if (from != 0) {
    match_port(batch, from);
  } else {
    match_not_loopback(batch, family);
  }
  redirect(batch, to);
  batch_unnest(batch, expressions);
  batch_end(batch);
}

int nft_redirect(int family, const struct redirect_ports* ports) {
  struct batch batch = {.used = 0};
  family = family == AF_INET6 ? FAMILY_IPV6 : FAMILY_IPV4;
  mark(&batch, NFNL_MSG_BATCH_BEGIN);

  begin(&batch, NFT_MSG_NEWTABLE, NLM_F_CREATE, family);
  batch_string(&batch, NFTA_TABLE_NAME, table_name);
  batch_end(&batch);

  begin(&batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE, family);
  batch_string(&batch, NFTA_CHAIN_TABLE, table_name);
  batch_string(&batch, NFTA_CHAIN_NAME, chain_name);
  batch_string(&batch, NFTA_CHAIN_TYPE, "nat");
  uint32_t hook = batch_nest(&batch, NFTA_CHAIN_HOOK);
  batch_u32(&batch, NFTA_HOOK_HOOKNUM, HOOK_OUTPUT);
  batch_u32(&batch, NFTA_HOOK_PRIORITY, (uint32_t)PRIORITY_DNAT);
  batch_unnest(&batch, hook);
  batch_end(&batch);

  rule(&batch, family, IPPROTO_UDP, 53, ports->dns_udp);
  rule(&batch, family, IPPROTO_TCP, 53, ports->dns_tcp);
  rule(&batch, family, IPPROTO_TCP, 0, ports->tcp);

  mark(&batch, NFNL_MSG_BATCH_END);
  return batch_talk(&batch, NETLINK_NETFILTER);
}

bool nft_is_missing(int error) {
  switch (error) {
    case ENOENT:          /* a chain type or an expression that is not there */
    case EOPNOTSUPP:      /* nfnetlink without nf_tables */
    case EPROTONOSUPPORT: /* no nfnetlink */
    case EAFNOSUPPORT:    /* nf_tables without this family */
    case ENOPROTOOPT:
      return true;
    default:
      return false;
  }
}
