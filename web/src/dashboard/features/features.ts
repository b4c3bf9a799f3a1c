import type { AppFeaturesFragment, FeatureDetailsFragment } from "../graph/graphql";

/** Returns all features of an app, sorted by slug. The two pages of features may overlap. */
export function featuresOf({ features, lastFeatures }: AppFeaturesFragment): FeatureDetailsFragment[] {
  const all = [...features.nodes, ...lastFeatures.nodes];
  return [...new Map(all.map((feature) => [feature.slug, feature])).values()];
}

/** Returns the names of these features. For a feature that the app no longer has, returns the slug. */
export function namesOf(slugs: readonly string[], app: AppFeaturesFragment): string[] {
  const names = new Map(featuresOf(app).map(({ slug, name }) => [slug, name]));
  return slugs.map((slug) => names.get(slug) ?? slug);
}
