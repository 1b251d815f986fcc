/**
 * The payload of a prompt's button: `hp1:<prompt_id>:<option_id>`, each id 1 to 32 of `[A-Za-z0-9_.-]`, at most 64 bytes in all
 * (hermes-relay §8.1; Telegram's callback_data takes no more).
 */
export interface PromptToken {
  prompt_id: string;
  option_id: string;
}

const TOKEN = /^hp1:([A-Za-z0-9_.-]{1,32}):([A-Za-z0-9_.-]{1,32})$/;

/** The ids of a token, or null when the text is not one. */
export function parsePromptToken(text: string): PromptToken | null {
  const [, prompt_id, option_id] = (text.length <= 64 && TOKEN.exec(text)) || [];
  return prompt_id !== undefined && option_id !== undefined ? { prompt_id, option_id } : null;
}

/** The token of an option, or null when an id is not allowed or the whole is too long: the prompt can't be rendered. */
export function formatPromptToken(prompt_id: string, option_id: string): string | null {
  const text = `hp1:${prompt_id}:${option_id}`;
  return parsePromptToken(text) ? text : null;
}
