import dashboard from "../../../schema/tabs/dashboard.graphql?raw";
import dashboardVariables from "../../../schema/tabs/dashboard.json?raw";
import getOrCreate from "../../../schema/tabs/get_or_create.graphql?raw";
import getOrCreateVariables from "../../../schema/tabs/get_or_create.json?raw";
import paging from "../../../schema/tabs/paging.graphql?raw";
import pagingVariables from "../../../schema/tabs/paging.json?raw";

/** The tabs that are open on the first visit. Their documents all run on a new installation. */
export const firstTabs: { query: string; variables: string }[] = [
  { query: dashboard, variables: dashboardVariables.trim() },
  { query: getOrCreate, variables: getOrCreateVariables.trim() },
  { query: paging, variables: pagingVariables.trim() },
];
