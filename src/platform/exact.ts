import { type JsonNode, JsonTextError, parseLossless } from "../kernel/lossless-json";
import { decodeBody, MalformedPayload, parseBody } from "./adaptor";

/** A number our own type holds exactly stays one; a longer one keeps its digits, as a text. */
function plainValue(node: JsonNode): unknown {
  switch (node.kind) {
    case "object":
      return Object.fromEntries(node.members.map((m) => [m.key, plainValue(m.value)]));
    case "array":
      return node.items.map(plainValue);
    case "number":
      return /^-?\d+$/.test(node.lexeme) && !Number.isSafeInteger(Number(node.lexeme))
        ? node.lexeme
        : Number(node.lexeme);
    default:
      return node.value;
  }
}

/** A body's JSON without losing a digit of a 64-bit id that is written as a number. @throws MalformedPayload */
export function parseExact(bytes: Uint8Array): unknown {
  const text = decodeBody(bytes);
  // Fewer than 16 digits in a row are exact as numbers, as is any text, and the fast parser may have them.
  if (!/(?:^|[^"\d])\d{16}/.test(text)) return parseBody(text);
  try {
    return plainValue(parseLossless(text));
  } catch (error) {
    if (error instanceof JsonTextError) throw new MalformedPayload(error.message);
    throw error;
  }
}
