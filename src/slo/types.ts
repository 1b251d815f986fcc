/** The words of the wake SLO (wake-slo §2-§6). */

export type Direction = "C2L" | "L2C";

export type ResponderStatus =
  | "ok"
  | "error:no_api_key"
  | "error:body_regex_mismatch"
  | "error:missing_ids"
  | "error:ack_failed"
  | "error:reply_failed"
  | "error:network"
  | "error:timeout"
  | "error:exception"
  | "error:recipient_mismatch"
  | "error:disabled";

export type AckMode = "required" | "auto" | "off";

/** States of one probe at its recipient (wake-slo §5), kept in the Agent object named `slo:{agent_id}`. */
export type ClaimState = "new" | "claimed" | "acked" | "ponged" | "fell_through";

export type ErrorClass =
  | "wake_push_failed"
  | "ack_timeout"
  | "reply_timeout"
  | "error_envelope"
  | "protocol_mismatch"
  | "unexplained_hang"
  | "config_error";
