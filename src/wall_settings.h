// What a configuration and its grants mean to the proxy, and how the record speaks of them. Shared
// by runs and by `moat proxy`.
#pragma once

#include <string>
#include <vector>

#include "config.h"
#include "core/json.h"
#include "grant.h"
#include "proxy/proxy.h"
#include "recorder.h"

namespace moat {

// Without the hints for refusals, which depend on how moat was called.
proxy::Settings wall_settings(const Config& config, const std::string& run_name,
                              std::vector<GrantUse> grants);
// Members of "run.created" that say what may be reached.
void describe_wall(const Config& config, Json& into);
// And those that say whose run it is, and by which moat, libraries and kernel.
void describe_host(Json& into);
// Of a grant: each secret, and how it is on the wire.
std::vector<Secret> secrets_of(const GrantUse& grant);
// Keeps the secrets of this run out of what is recorded from here: those of its grants, and the
// password of the proxy on the way.
void keep_out_secrets(Recorder& recorder, const Config& config,
                      const std::vector<GrantUse>& grants);
// Tells of each secret that was resolved.
void record_grants(Recorder& recorder, const std::vector<GrantUse>& grants);
// That a host has given tokens on one of them.
void record_minted(Recorder& recorder, const proxy::Minted& minted);
void record_secret(Recorder& recorder, const SecretValue& secret);

}  // namespace moat
