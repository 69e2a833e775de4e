// moat audit prove and moat audit consistency: proofs for those who have only the public key.
#include "audited.h"
#include "command.h"
#include "core/text.h"
#include "store/proof.h"

namespace moat {
namespace {

std::string json_of(const Audited& audited, const store::InclusionProof& proof) {
  const auto checkpoint = store::parse_checkpoint(proof.checkpoint);
  Json json = Json::object();
  json.set("run", audited.run.facts.id)
      .set("seq", proof.index)
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

}  // namespace

int cmd_audit_prove(const Arguments& arguments) {
  const auto seq = record_number(arguments.operands().front(), "'moat audit prove'");
  if (!seq) return complain(seq.error(), exit_usage);
  const auto audited = open_audited(arguments, 1);
  if (!audited) return complain(audited.error());
  const auto proof = store::prove_inclusion(*audited->reader, *seq);
  if (!proof) return complain_of_record(proof.error().in("run " + audited->run.facts.id));
  return print(arguments,
               arguments.has("json") ? json_of(*audited, *proof) : store::write_proof(*proof));
}

}  // namespace moat
