/** What the variables editor accepts for our scalars, as JSON Schema. Without these schemas, the editor only accepts
 *  a string, number or boolean for a scalar, and marks every JSON object as an error. */
export const customScalarSchemas = {
  JSONObject: { type: "object" },
  DateTime: { type: "string" },
  UUID: { type: "string" },
} as const;
