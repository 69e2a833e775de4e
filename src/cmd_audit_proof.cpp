// moat audit prove and moat audit consistency: proofs for those who have only the public key.
#include "audited.h"
#include "command.h"
#include "core/fd.h"
#include "core/text.h"
#include "store/proof.h"

namespace moat {
namespace {

constexpr size_t max_checkpoint = 16 * 1024;

// `what` is the number that the proof is about.
template <class Proof>
std::string json_of(const Audited& audited, const char* what, uint64_t number, const Proof& proof) {
  const auto checkpoint = store::parse_checkpoint(proof.checkpoint);
  Json json = Json::object();
  json.set("run", audited.run.facts.id)
      .set(what, number)
      .set("size", checkpoint ? Json(checkpoint->head.size) : Json())
      .set("root", checkpoint ? Json(hex(view(checkpoint->head.root))) : Json())
      .set("proof", store::write_proof(proof));
  return json.text() + "\n";
}

int print(const Arguments& arguments, const std::string& text) {
  auto destination = Destination::open(arguments.value("output"));
  if (!destination) return complain(destination.error());
  auto written = destination->write(text);
  if (written) written = destination->finish();
  return written ? exit_ok : complain(written.error());
}

// Signed by a key of ours, and of this run.
Result<store::Checkpoint> read_older(const Arguments& arguments, const Audited& audited) {
  const auto keys = trusted_keys(arguments, audited.home);
  if (!keys) return keys.error().in("cannot verify without the public key");
  const std::string& file = arguments.operands().front();
  const auto note = read_file(file, max_checkpoint);
  if (!note) return note.error();
  for (const std::string& key : *keys) {
    auto checkpoint = store::read_checkpoint(*note, key);
    if (!checkpoint && key == keys->back()) return checkpoint.error().in(file);
    if (!checkpoint) continue;
    if (checkpoint->origin == "moat.run/" + audited.run.facts.id) return checkpoint;
    return error(Errc::invalid, "%s is of another run: %s", file.c_str(),
                 checkpoint->origin.c_str());
  }
  return error(Errc::tampered, "%s is signed by no key", file.c_str());
}

}  // namespace

int cmd_audit_prove(const Arguments& arguments) {
  const auto seq = record_number(arguments.operands().front(), "'moat audit prove'");
  if (!seq) return complain(seq.error(), exit_usage);
  const auto audited = open_audited(arguments, 1);
  if (!audited) return complain(audited.error());
  const auto proof = store::prove_inclusion(*audited->reader, *seq);
  if (!proof) return complain_of_record(proof.error().in("run " + audited->run.facts.id));
  return print(arguments, arguments.has("json") ? json_of(*audited, "seq", *seq, *proof)
                                                : store::write_proof(*proof));
}

int cmd_audit_consistency(const Arguments& arguments) {
  const auto audited = open_audited(arguments, 1);
  if (!audited) return complain(audited.error());
  const auto older = read_older(arguments, *audited);
  if (!older) return complain(older.error());
  const auto proof = store::prove_consistency(*audited->reader, older->head);
  if (!proof) return complain_of_record(proof.error().in("run " + audited->run.facts.id));
  return print(arguments, arguments.has("json")
                              ? json_of(*audited, "old_size", older->head.size, *proof)
                              : store::write_proof(*proof));
}

}  // namespace moat
