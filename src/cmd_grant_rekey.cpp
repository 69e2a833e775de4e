// moat grant rekey: seal everything with a new key, kept where config.yaml says.
#include "command.h"
#include "core/json.h"
#include "core/text.h"
#include "paths.h"
#include "print.h"
#include "vault_access.h"

namespace moat {

int cmd_grant_rekey(const Arguments& arguments) {
  const auto home = open_home();
  if (!home) return complain(home.error());
  if (!store::Vault::exists(home->root))
    return complain(error(Errc::not_found,
                          "there is no vault yet; the first 'moat grant' makes a key where "
                          "config.yaml says"));
  const auto access = vault_access(*home);
  if (!access) return complain(access.error());
  const auto sealed = store::Vault::rekey(home->root, *access);
  if (!sealed) return complain(sealed.error());
  const auto record = store::read_key_record(home->root + "/credentials.key");
  if (!record) return complain(record.error());
  const char* const source = store::word_of(record->source);
  Output out;
  out.line(arguments.has("json") ? Json::object()
                                       .set("credentials", static_cast<uint64_t>(*sealed))
                                       .set("key", source)
                                       .text()
                                 : format("%zu credential%s sealed with a new key, kept by '%s'",
                                          *sealed, *sealed == 1 ? " is" : "s are", source));
  return out.finish(exit_ok);
}

}  // namespace moat
