// moat audit key: the public key that others verify with.
#include "command.h"
#include "core/crypto.h"
#include "paths.h"
#include "print.h"
#include "store/note.h"
#include "store/vault.h"

namespace moat {

int cmd_audit_key(const Arguments& arguments) {
  const auto home = open_home();
  if (!home) return complain(home.error());
  const auto key = arguments.has("rotate") ? store::rotate_signing_key(home->root)
                                           : store::open_signing_key(home->root);
  if (!key) return complain(key.error());
  const auto all = store::read_public_keys(home->root);
  if (!all) return complain(all.error());
  std::vector<std::string> old;
  for (const std::string& pem : *all) {
    const auto der = public_key_der(pem);
    if (!der) return complain(der.error().in(home->root + "/audit/old"));
    if (*der != key->public_der()) old.push_back(store::note_key_id(*der));
  }
  const std::string id = store::note_key_id(key->public_der());
  Output out;
  if (arguments.has("json")) {
    Json json = Json::object();
    json.set("name", store::note_key_name)
        .set("id", id)
        .set("public_key", key->public_pem())
        .set("old", old);
    out.line(json.text());
  } else {
    // Text outside of the PEM block is passed over by whatever reads it.
    out.line(std::string(store::note_key_name) + "+" + id);
    out.write(key->public_pem());
  }
  return out.finish(exit_ok);
}

}  // namespace moat
