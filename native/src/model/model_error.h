#pragma once
#include <stdexcept>
#include <string>

namespace dynamo_labs::model {

/** Something about the model's files, its shape or a request that this engine cannot serve. `field` names the culprit. */
class ModelError : public std::runtime_error {
public:
  ModelError(std::string code, std::string field, const std::string& message)
      : std::runtime_error(field + ": " + message), code_(std::move(code)), field_(std::move(field)) {}
  const std::string& code() const { return code_; }
  const std::string& field() const { return field_; }

private:
  std::string code_, field_;
};

} // namespace dynamo_labs::model
