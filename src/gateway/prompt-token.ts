export { formatPromptToken, type PromptToken, parsePromptToken } from "../platform";
